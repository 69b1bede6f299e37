use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of acknowledged bytes on stderr, if that is a terminal.
#[derive(Debug)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// `total` is the size of the input, if it has one.
    pub(super) fn new(total: Option<u64>) -> Self {
        // Somebody who types the records does not want them overwritten.
        let is_typed = total.is_none() && std::io::stdin().is_terminal();
        if is_typed || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let (bar, template) = match total {
            Some(total) => {
                let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
                (ProgressBar::new(total), template)
            }
            None => (
                ProgressBar::no_length(),
                "{spinner} {bytes} {bytes_per_sec} {msg}",
            ),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.expect("the templates are constants that the library accepts"));
        Self(Some(bar))
    }

    /// `records` are acknowledged now, the last of them `bytes` long with its line end.
    pub(super) fn advance(&self, bytes: u64, records: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
            if records.is_multiple_of(1_000) {
                bar.set_message(format!("{records} records"));
            }
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn close(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
