use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use quorate_client::Compio;
use quorate_log::{DamageKind, Ending, FactStore, Finding, Piece, Plan, Repair as Step};
use quorate_platform::Disk as _;
use quorate_vsr::Offset;
use quorate_vsr::partition::Facts;

use super::copy::Copies;
use super::place::{LogPlace, Place};
use super::progress::Progress;
use super::reading;
use crate::cli::output;
use crate::cli::{Failure, Global};

/// Mend what can be mended without other replicas, after a copy was made
///
/// Without --yes it only says what it would do. With it, every file that will be changed is copied
/// first, and the copies are durable before anything is changed. Then damaged frames are written
/// anew, index files that say nothing or nothing right are removed (they are derived anew), and the
/// remains of an interrupted write are cut off. A node does most of that by itself at its start.
///
/// Damaged batches stay: the node refuses exactly these, and fetches them from other replicas. The
/// node must not run meanwhile. To repair again what is repaired changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// The folder of a partition, a shard or a node
    path: PathBuf,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Where the copies go [default: beside the files, as FILE.before-repair-TIME]
    #[arg(long, value_name = "DIR")]
    copy_to: Option<PathBuf>,
    /// GIVE UP EVERY RECORD FROM THE FIRST DAMAGED ONE ON, of a partition with no other replica
    ///
    /// The log of this copy ends there, and its facts say that nothing ever was behind. NEVER use
    /// it where the partition has other replicas: they have the records, and this copy would deny
    /// them. Then start the node as it is, or give up its disk with `quorate cluster recover`.
    #[arg(long)]
    cut_after_damage: bool,
}

/// What is to be done with one log.
struct Work<'a> {
    log: &'a LogPlace,
    steps: Vec<Step>,
    /// The log ends at this offset from then on, whatever its facts say.
    end: Option<u64>,
}

impl Repair {
    pub(super) async fn run(self, _: &Global) -> Result<(), Failure> {
        let place = Place::find(&self.path).await?;
        if place.logs.iter().any(|log| log.segment.is_some()) {
            return Err(Failure::usage(
                "a segment cannot be repaired without the others: name the folder of its partition",
            ));
        }
        let lock = lock(&place)?;
        let works = self.plan(&place).await?;
        if works.is_empty() {
            return output::print("there is nothing to repair");
        }
        if !self.yes {
            for work in &works {
                work.tell("would")?;
            }
            return output::print("nothing was changed: --yes does it, and makes copies first");
        }
        self.copy(&place, &works).await?;
        for work in &works {
            work.run().await?;
        }
        drop(lock);
        output::print("done; `quorate log verify` tells what is left")
    }

    async fn plan<'a>(&self, place: &'a Place) -> Result<Vec<Work<'a>>, Failure> {
        let progress = Progress::new(place);
        let mut passed_bytes = 0;
        let mut works = Vec::new();
        for log in place.logs.iter().filter(|log| !log.is_missing) {
            let mut inspection = reading::begin(log, None).await?;
            if let Some(refusal) = reading::refusal(log, inspection.ending()) {
                progress.suspend(|| output::tell(&refusal));
            }
            let mut plan = Plan::default();
            let mut left = 0;
            while let Some(finding) = inspection.next().await.map_err(reading::failure)? {
                left += u64::from(is_left(&finding));
                plan.note(&finding);
                progress.set(passed_bytes + inspection.passed_bytes());
            }
            passed_bytes += inspection.passed_bytes();
            let work = self.work(log, plan, inspection.ending());
            if left > 0 && work.end.is_none() {
                let folder = log.folder.display();
                progress.suspend(|| {
                    output::tell(&format!(
                        "{folder}: damaged stretches that stay, for the node to fetch from other \
                         replicas: {left}; `quorate log verify` tells which"
                    ));
                });
            }
            let is_idle = work.steps.is_empty() && work.end.is_none();
            works.extend((!is_idle).then_some(work));
        }
        Ok(works)
    }

    fn work<'a>(&self, log: &'a LogPlace, plan: Plan, ending: &Ending) -> Work<'a> {
        let cut = plan.cut().filter(|_| self.cut_after_damage);
        let end = match &cut {
            Some(Step::Cut { offset, .. }) => Some(*offset),
            // The log is sound as it is, but its end was put aside at an earlier start.
            None if self.cut_after_damage && log.is_uncertain => Some(u64::MAX),
            Some(Step::Frame { .. } | Step::Index { .. } | Step::Torn { .. }) | None => None,
        };
        let mut steps = plan.repairs(ending);
        if let Some(cut) = cut {
            // What is behind the cut needs no repair.
            steps.retain(|step| cut.keeps(step));
            steps.push(cut);
        }
        Work { log, steps, end }
    }

    /// Copies every file that will be changed.
    async fn copy(&self, place: &Place, works: &[Work<'_>]) -> Result<(), Failure> {
        let files = works.iter().flat_map(Work::files);
        let files: BTreeSet<PathBuf> = files.filter(|file| file.exists()).collect();
        let files: Vec<_> = files.into_iter().collect();
        let copies = Copies::new(self.copy_to.clone(), &place.root);
        copies.check_room(&files)?;
        for file in &files {
            let copy = copies.make(file).await?;
            output::print(&format!("copied {} to {}", file.display(), copy.display()))?;
        }
        Ok(())
    }
}

impl Work<'_> {
    fn files(&self) -> Vec<PathBuf> {
        let steps = self.steps.iter();
        let mut files: Vec<_> = steps
            .flat_map(|step| step.paths(&self.log.folder))
            .collect();
        let facts = self.log.facts.as_ref().filter(|_| self.end.is_some());
        files.extend(facts.map(|(path, _)| path.clone()));
        files
    }

    fn tell(&self, how: &str) -> Result<(), Failure> {
        let folder = self.log.folder.display();
        for step in &self.steps {
            output::print(&format!("{folder}: {how} {step}"))?;
        }
        if self.end.is_some() {
            output::print(&format!(
                "{folder}: {how} SAY IN ITS FACTS THAT NOTHING EVER WAS BEHIND THE END OF THE LOG"
            ))?;
        }
        Ok(())
    }

    async fn run(&self) -> Result<(), Failure> {
        for step in &self.steps {
            let done = step.run(&Compio, &self.log.folder).await;
            done.map_err(reading::failure)?;
        }
        // A crash before it leaves a log whose end is uncertain, and the same work to be done.
        if let Some(end) = self.end {
            self.deny_behind(end).await?;
        }
        self.tell("done:")
    }

    /// Has the facts say that nothing was ever at `end` or behind it.
    async fn deny_behind(&self, end: u64) -> Result<(), Failure> {
        let Some((path, id)) = &self.log.facts else {
            return Ok(());
        };
        let mut store = FactStore::open(Compio, path)
            .await
            .map_err(reading::failure)?;
        let decoded = store.get(*id).map(Facts::decode);
        let Some(Ok(facts)) = decoded else {
            return Ok(());
        };
        // What is below the log start is deleted anyway.
        let denying = Facts {
            high_watermark: facts.high_watermark.min(Offset(end)).max(facts.log_start),
            begins_anew: facts.begins_anew || Offset(end) < facts.log_start,
            healed: facts.losses,
            compacted: Offset(0),
            ..facts
        };
        store.put(*id, denying.encode());
        if let Some(job) = store.begin_flush().map_err(reading::failure)? {
            let flushed = job.run().await;
            store.finish_flush(flushed).map_err(reading::failure)?;
        }
        Ok(())
    }
}

/// Whether it is damage that no repair mends.
fn is_left(finding: &Finding) -> bool {
    let Finding::Piece(Piece::Damage(damage)) = finding else {
        return false;
    };
    match damage.kind {
        DamageKind::Batches | DamageKind::Epoch | DamageKind::Rest | DamageKind::End => true,
        DamageKind::Frame | DamageKind::Checksums | DamageKind::Torn => false,
    }
}

/// Takes the node's folder, so that no node starts meanwhile.
fn lock(place: &Place) -> Result<Option<<Compio as quorate_platform::Disk>::Lock>, Failure> {
    let Some(path) = &place.lock else {
        return Ok(None);
    };
    let folder = path.parent().unwrap_or(path).display();
    match Compio.lock(path) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(Failure::refused(format!(
                "a node is running on {folder}: stop it, and give the command again; it mends by \
                 itself what other replicas can give back"
            )))
        }
        Err(error) => Err(Failure::failed(format!(
            "the lock of {folder} cannot be taken: {error}"
        ))),
    }
}
