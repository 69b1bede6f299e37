use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use quorate_platform::{Instant, Platform};
use quorate_vsr::NodeId;
use quorate_wire::{Code, Refusal};

use super::Shard;

/// Appends are refused while less than this is free, so that what is already accepted, the facts
/// and the control plane's journal still find room: a write that finds none is fatal.
pub(crate) const RESERVE_BYTES: u64 = 256 << 20;
/// The file system is asked again after so many appended bytes.
const CHECK_EVERY_BYTES: u64 = 16 << 20;
/// It is also asked again after this time: others write to it as well, and would have to write more
/// than 2 GiB in a second to use up the reserve unseen.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// While appends are refused, the file system is asked again after this time; and when nothing is
/// appended, so that it shows in the log of the node.
const CHECK_AGAIN: Duration = Duration::from_secs(1);

/// Looks at the file system every now and then, until the shard is over.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>) {
    while !shard.is_over() {
        shard.platform.sleep(CHECK_AGAIN).await;
        shard.state.borrow_mut().space.check(&shard.platform);
    }
}

/// Whether the disk has room for more records.
#[derive(Debug)]
pub(super) struct Space {
    folder: PathBuf,
    appended_bytes: u64,
    checked: Option<Instant>,
    is_low: bool,
}

impl Space {
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            appended_bytes: 0,
            checked: None,
            is_low: false,
        }
    }

    /// Whether `bytes` more may be appended; they count if so.
    pub(super) fn admits<P: Platform>(&mut self, platform: &P, bytes: usize) -> bool {
        if self.is_check_due(platform) {
            self.check(platform);
        }
        if !self.is_low {
            self.appended_bytes += bytes as u64;
        }
        !self.is_low
    }

    /// Why `node` refuses an append.
    pub(super) fn refusal(&self, node: NodeId) -> Refusal {
        let folder = self.folder.display();
        Refusal::new(
            Code::DiskFull,
            format!(
                "the disk of node {node} is nearly full: free space on the file system of \
                 {folder}, and appends go on"
            ),
        )
    }

    fn is_check_due<P: Platform>(&self, platform: &P) -> bool {
        match self.checked {
            None => true,
            Some(checked) if self.is_low => platform.now() - checked >= CHECK_AGAIN,
            Some(checked) => {
                self.appended_bytes >= CHECK_EVERY_BYTES || platform.now() - checked >= CHECK_EVERY
            }
        }
    }

    fn check<P: Platform>(&mut self, platform: &P) {
        // A file system that does not answer is no reason to refuse anything: the next write shows
        // whether it is broken.
        let available = platform.available_bytes(&self.folder).unwrap_or(u64::MAX);
        let was_low = self.is_low;
        self.is_low = available < RESERVE_BYTES;
        self.appended_bytes = 0;
        self.checked = Some(platform.now());
        let folder = self.folder.display();
        match (was_low, self.is_low) {
            (false, true) => tracing::warn!(%folder, available, "disk nearly full: appends end"),
            (true, false) => tracing::info!(%folder, available, "room again: appends go on"),
            (false, false) | (true, true) => {}
        }
    }
}
