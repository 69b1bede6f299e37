use std::path::{Path, PathBuf};

/// Where a file system is attached, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    /// The kind of file system, as the kernel names it.
    pub(crate) kind: String,
    /// What is mounted: a device, or anything else that the kind of file system names.
    pub(crate) source: PathBuf,
    pub(crate) options: Vec<String>,
}

impl Mount {
    /// The mount that holds `path`, which is free of links.
    pub(super) fn of(path: &Path) -> Option<Self> {
        Self::find(&std::fs::read_to_string("/proc/self/mountinfo").ok()?, path)
    }

    /// The same from the text of the kernel's list.
    ///
    /// Of several mounts at one point the last one hides the others.
    fn find(list: &str, path: &Path) -> Option<Self> {
        list.lines()
            .filter_map(Self::parse)
            .filter(|mount| path.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.components().count())
    }

    /// Reads a line such as
    /// `27 1 254:0 / /data rw,relatime shared:1 - ext4 /dev/vda rw,nobarrier`.
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(4);
        let point = PathBuf::from(unescape(mount.next()?));
        let mut file_system = file_system.split(' ');
        let kind = file_system.next()?.to_owned();
        let of_mount = mount.next()?;
        let source = PathBuf::from(unescape(file_system.next()?));
        let of_file_system = file_system.next().unwrap_or_default();
        let mut options: Vec<String> = Vec::new();
        for option in of_mount.split(',').chain(of_file_system.split(',')) {
            if !option.is_empty() && !options.iter().any(|known| known == option) {
                options.push(option.to_owned());
            }
        }
        Some(Self {
            point,
            kind,
            source,
            options,
        })
    }
}

/// The kernel writes what would break its lines as a backslash and three octal digits.
fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
40 27 8:1 / /my\\040data ro,nosuid - xfs /dev/sda1 rw,nobarrier
41 27 8:2 / /data2 rw - ext4 /dev/sda2 rw,barrier=0
42 27 8:3 / /data2 rw - xfs /dev/sda3 rw
";

    #[test]
    fn a_path_belongs_to_the_nearest_and_latest_mount_above_it() {
        let of = |path: &str| Mount::find(LIST, Path::new(path)).unwrap();
        assert_eq!(of("/data/q").kind, "ext4");
        assert_eq!(of("/data/q").options, ["rw", "relatime", "discard"]);
        assert_eq!(of("/my data/q").point, Path::new("/my data"));
        assert_eq!(of("/my data/q").source, Path::new("/dev/sda1"));
        assert!(of("/my data").options.contains(&"nobarrier".to_owned()));
        assert_eq!(of("/data2/q").kind, "xfs");
        assert_eq!(of("/data22").kind, "ext4");
    }

    #[test]
    fn lines_that_make_no_sense_are_passed_over() {
        let list = format!("\nnonsense\n1 2 - x\n{LIST}");
        assert_eq!(Mount::find(&list, Path::new("/a")).unwrap().kind, "ext4");
        assert_eq!(Mount::find("nonsense", Path::new("/a")), None);
    }
}
