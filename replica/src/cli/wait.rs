//! Waiting until the cluster has done what was asked.
//!
//! The cluster goes on by itself, whether anybody waits or not. So a command that waits may be
//! interrupted, and one that was may be given again.

use std::time::Duration;

use clap::Args;
use quorate_client::{Compio, Error};
use quorate_platform::Tasks as _;

use super::{Failure, duration, output};

/// How often the cluster is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Whether a command waits.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// Return as soon as the cluster has taken note
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait until it is done
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

/// How far something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    /// What is still missing, in a few words.
    Missing(String),
}

/// Asks again and again until it is done, and tells what is missing whenever that has changed.
///
/// What may pass does not end it: the cluster that is asked is changing just now.
pub(crate) async fn until_done<F>(
    patience: Duration,
    remedy: &str,
    mut look: impl FnMut() -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<Progress, Error>>,
{
    let deadline = Compio.now() + patience;
    let mut told = String::new();
    loop {
        let missing = match look().await {
            Ok(Progress::Done) => return Ok(()),
            Ok(Progress::Missing(missing)) => missing,
            Err(error) if is_final(&error) => return Err(error.into()),
            Err(error) => format!("the cluster cannot be asked: {error}"),
        };
        if missing != told {
            output::tell(&missing);
            told = missing;
        }
        if Compio.now() >= deadline {
            return Err(Failure::failed(format!(
                "not done within {patience:?}: {told}. The cluster goes on by itself; {remedy}"
            )));
        }
        Compio.sleep(LOOK_AGAIN).await;
    }
}

/// Whether asking again would bring the same answer.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::Refused { refusal, .. } if !refusal.code.is_retriable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[compio::test]
    async fn it_ends_when_all_is_done_or_time_is_up() {
        let mut looks = 0;
        let look = || {
            looks += 1;
            let progress = match looks {
                1 => Progress::Missing("one thing".to_owned()),
                _ => Progress::Done,
            };
            async move { Ok(progress) }
        };
        until_done(Duration::from_secs(60), "look", look)
            .await
            .unwrap();
        let look = || async { Ok(Progress::Missing("node 4".to_owned())) };
        let failure = until_done(Duration::ZERO, "look again", look).await;
        let said = failure.unwrap_err().to_string();
        assert!(
            said.contains("node 4") && said.contains("look again"),
            "{said}"
        );
    }
}
