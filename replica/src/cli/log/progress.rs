use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::place::{LogPlace, Place};

/// A bar of bytes on stderr, if that is a terminal.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn new(place: &Place) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let total = place.logs.iter().map(bytes_of).sum();
        let bar = ProgressBar::new(total);
        bar.set_draw_target(ProgressDrawTarget::stderr());
        let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.expect("the template is a constant that the library accepts"));
        Self(Some(bar))
    }

    pub(super) fn set(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
        }
    }

    /// Does something that prints, with the bar off the screen.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// The bytes of the segments that will be looked at, as far as they can be told.
fn bytes_of(log: &LogPlace) -> u64 {
    let Ok(entries) = std::fs::read_dir(&log.folder) else {
        return 0;
    };
    let is_asked_for = |name: &str| match log.segment {
        Some(segment) => name == format!("{segment:020}.log"),
        None => name.ends_with(".log"),
    };
    let entries = entries.filter_map(Result::ok);
    let asked = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_asked_for));
    asked
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}
