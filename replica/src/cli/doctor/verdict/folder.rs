use rustix::io::Errno;

use crate::cli::doctor::fact::{BlockDevice, DirectFiles, FileSystem, Folder, Mount, WriteCache};
use crate::cli::doctor::row::{Row, Verdict};
use crate::cli::doctor::size;
use crate::shard::RESERVE_BYTES;

/// What is thought of the data folder and of all that is below it.
pub(super) fn of_folder(folder: &Folder) -> Vec<Row> {
    let mut rows = vec![of_trial(folder)];
    if let Some(file_system) = &folder.file_system {
        rows.push(of_kind(file_system, folder.mount.as_ref()));
        rows.push(of_space(file_system, folder.holds_node));
    }
    if let Ok(direct) = folder.trial {
        rows.push(of_direct_files(direct));
    }
    let is_memory = folder
        .file_system
        .is_some_and(|file_system| nature_of(file_system.magic).1 == Nature::Memory);
    if !is_memory {
        rows.push(of_block_device(folder.block_device.as_ref()));
    }
    rows
}

fn of_trial(folder: &Folder) -> Row {
    let existing = folder.existing.display();
    let found = if folder.existing == folder.asked || folder.asked.exists() {
        existing.to_string()
    } else {
        format!("{}, to be created below {existing}", folder.asked.display())
    };
    let errno = match folder.trial {
        Ok(_) => return Row::ok("data_dir", found),
        Err(errno) => errno,
    };
    let found = format!("{found}: nothing can be created: {errno}");
    if folder.holds_node && matches!(errno, Errno::NOSPC | Errno::DQUOT) {
        // It serves what it has, and writes what it must to the room that it has set aside.
        return Row::ok("data_dir", found).but(
            Verdict::Warning,
            "make room on this file system, or raise the quota: the node serves reads, and appends \
             are refused",
        );
    }
    let advice = match errno {
        Errno::ROFS => "the file system is mounted read-only: mount it for writing, or choose \
                        another folder"
            .to_owned(),
        Errno::ACCESS | Errno::PERM => format!(
            "give the user of this process the right to write to {existing}, or choose another \
             folder"
        ),
        Errno::NOSPC | Errno::DQUOT => {
            "make room on this file system, or raise the quota".to_owned()
        }
        Errno::NOTDIR => "that is no folder: choose another".to_owned(),
        _ => "choose a folder that files can be created in".to_owned(),
    };
    Row::ok("data_dir", found).but(Verdict::Fails, advice)
}

/// What a kind of file system means for what is stored on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// Writes to blocks that exist stay where they are.
    InPlace,
    /// Every write goes to a new place, so that nothing is gained by writing in advance.
    CopyOnWrite,
    Memory,
    Network,
    Layered,
    UserSpace,
    Unknown,
}

/// The kernel's numbers, as `linux/magic.h` and the file systems' own sources have them.
fn nature_of(magic: u32) -> (&'static str, Nature) {
    match magic {
        0xEF53 => ("ext4", Nature::InPlace),
        0x5846_5342 => ("xfs", Nature::InPlace),
        0x9123_683E => ("btrfs", Nature::CopyOnWrite),
        0x2FC1_2FC1 => ("zfs", Nature::CopyOnWrite),
        0xCA45_1A4E => ("bcachefs", Nature::CopyOnWrite),
        0xF2F5_2010 => ("f2fs", Nature::CopyOnWrite),
        0x0102_1994 => ("tmpfs", Nature::Memory),
        0x8584_58F6 => ("ramfs", Nature::Memory),
        0x6969 => ("nfs", Nature::Network),
        0xFF53_4D42 | 0xFE53_4D42 | 0x517B => ("cifs", Nature::Network),
        0x00C3_6400 => ("ceph", Nature::Network),
        0x0102_1997 => ("9p", Nature::Network),
        0x794C_7630 => ("overlay", Nature::Layered),
        0x6573_5546 => ("fuse", Nature::UserSpace),
        _ => ("unknown", Nature::Unknown),
    }
}

fn of_kind(file_system: &FileSystem, mount: Option<&Mount>) -> Row {
    let (name, nature) = nature_of(file_system.magic);
    let found = match mount {
        Some(mount) => format!(
            "{} at {} ({})",
            mount.kind,
            mount.point.display(),
            mount.options.join(",")
        ),
        None => name.to_owned(),
    };
    let row = Row::ok("file_system", found).figure("magic_number", file_system.magic.into());
    if file_system.is_read_only {
        return row.but(
            Verdict::Fails,
            "mount it for writing, or choose another folder",
        );
    }
    let is_unsafe = |option: &String| option == "nobarrier" || option == "barrier=0";
    if mount.is_some_and(|mount| mount.options.iter().any(is_unsafe)) {
        return row.but(
            Verdict::Warning,
            "mount it without nobarrier or barrier=0: with it a sync does not reach the medium, \
             and a power cut loses what was acknowledged",
        );
    }
    match nature {
        Nature::InPlace => row,
        Nature::CopyOnWrite => row.but(
            Verdict::Slow,
            "it writes to new places always: ext4 or xfs make records durable sooner",
        ),
        Nature::Memory => row.but(
            Verdict::Warning,
            "it is memory: nothing on it survives a restart of the machine. For trying out only",
        ),
        Nature::Network => row.but(
            Verdict::Warning,
            "use a local disk: whether a sync over the network is durable is up to the server, and \
             each waits for it",
        ),
        Nature::Layered => row.but(
            Verdict::Warning,
            "it belongs to a container and goes with it: mount a volume there",
        ),
        Nature::UserSpace => row.but(
            Verdict::Warning,
            "a program stands between here and the disk: whether a sync is durable is up to it",
        ),
        Nature::Unknown => row.but(
            Verdict::Warning,
            "Quorate is tried on ext4 and meant for xfs too; on others look twice at the figures, \
             and at what a power cut leaves",
        ),
    }
}

/// Below this the names of segments and indexes may run out before the bytes do.
const FILES_FREE_MIN: u64 = 1_000;

/// A node without room refuses appends. One that holds records starts all the same: it serves what
/// it has, and room is made by deleting topics, for which it must run.
fn of_space(file_system: &FileSystem, holds_node: bool) -> Row {
    let available = file_system.available_bytes;
    let (free, total) = (size::human(available), size::human(file_system.total_bytes));
    let row = Row::ok("free_space", format!("{free} of {total}"))
        .figure("available_bytes", available)
        .figure("total_bytes", file_system.total_bytes);
    let reserve = size::human(RESERVE_BYTES);
    if available < RESERVE_BYTES && !holds_node {
        return row.but(
            Verdict::Fails,
            format!("make room: appends are refused while less than {reserve} are free"),
        );
    }
    if available < RESERVE_BYTES {
        return row.but(
            Verdict::Warning,
            format!(
                "make room, by deleting topics for instance: appends are refused while less \
                 than {reserve} are free, and go on by themselves"
            ),
        );
    }
    if file_system
        .available_files
        .is_some_and(|files| files < FILES_FREE_MIN)
    {
        return row.but(
            Verdict::Warning,
            "few more files can be created there (`df -i`): remove some, or make the file system \
             anew with more inodes",
        );
    }
    row
}

/// Logs are written in blocks of this size.
const BLOCK_BYTES: u32 = 4_096;

fn of_direct_files(direct: DirectFiles) -> Row {
    let check = "direct_io";
    let fallback = "everything goes through the page cache, which takes memory and processor time: \
                    use ext4 or xfs on a local disk";
    match direct {
        DirectFiles::Work { block_bytes: None } => Row::ok(check, "files can be opened for it"),
        DirectFiles::Work {
            block_bytes: Some(bytes),
        } => {
            let found = format!("in blocks of {}", size::human(bytes.into()));
            let row = Row::ok(check, found).figure("block_bytes", bytes.into());
            if bytes <= BLOCK_BYTES {
                return row;
            }
            row.but(
                Verdict::Warning,
                format!("blocks are larger than {BLOCK_BYTES} bytes: {fallback}"),
            )
        }
        DirectFiles::Refused(errno) => {
            Row::ok(check, format!("refused: {errno}")).but(Verdict::Warning, fallback)
        }
    }
}

fn of_block_device(device: Option<&BlockDevice>) -> Row {
    let check = "disk";
    let hidden = "find out from whoever runs the storage whether a sync reaches a medium that \
                  survives a power cut";
    let Some(device) = device else {
        return Row::ok(check, "not visible from here").but(Verdict::Warning, hidden);
    };
    let turns = match device.is_rotational {
        Some(true) => ", says that it is rotational",
        Some(false) | None => "",
    };
    let row = |cache| Row::ok(check, format!("{}{turns}, {cache}", device.name));
    match device.write_cache {
        Some(WriteCache::Flushed) => row("its write cache is flushed by every sync"),
        Some(WriteCache::NeedsNoFlush) => row("says that it has no volatile write cache"),
        None => row("its write cache cannot be seen").but(Verdict::Warning, hidden),
    }
}
