use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::sight::Sight;
use crate::cli::output;

/// The live status on stdout: a table that redraws on a terminal, a line per change otherwise.
#[derive(Debug)]
pub(super) enum View {
    Table(ProgressBar),
    /// The last line of each node.
    Lines(BTreeMap<u16, String>),
}

impl View {
    pub(super) fn new() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::Lines(BTreeMap::new());
        }
        let bar = ProgressBar::new_spinner();
        bar.set_draw_target(ProgressDrawTarget::stdout());
        let style = ProgressStyle::with_template("{msg}");
        bar.set_style(style.expect("the template is a constant that the library accepts"));
        Self::Table(bar)
    }

    pub(super) fn show(&mut self, nodes: &BTreeMap<u16, Sight>) {
        match self {
            Self::Table(bar) => {
                let header = [
                    "NODE",
                    "STATE",
                    "PID",
                    "ROLE",
                    "VIEW",
                    "LEADS",
                    "UNDER-REPLICATED",
                    "APPENDS",
                ];
                let cells = nodes.values().map(Sight::cells).collect();
                bar.set_message(output::table(header, cells));
            }
            Self::Lines(shown) => {
                for node in nodes.values() {
                    let line = node.line();
                    if shown.get(&node.id()) != Some(&line) {
                        // The cluster goes on when nobody reads its status any more.
                        let _ = writeln!(std::io::stdout(), "{line}");
                        shown.insert(node.id(), line);
                    }
                }
            }
        }
    }

    /// Leaves the last picture standing.
    pub(super) fn close(&self) {
        if let Self::Table(bar) = self {
            bar.abandon();
            // The bar fills its last line to the brim and stays there.
            let _ = writeln!(std::io::stdout());
        }
    }
}
