use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;

const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until the answer is `Ok`, for at most `patience`.
///
/// Another process gives no signal when its state changes, so asking is the only way. The failure
/// names what was awaited and the last answer.
pub fn wait_until<T>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let begin = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(last) if begin.elapsed() >= patience => {
                let seconds = patience.as_secs_f64();
                return Err(Failure::new(format!(
                    "waited {seconds} s until {what}: {last}"
                )));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_first_good_answer() {
        let mut answers = [Err(Failure::new("not yet")), Ok(7), Ok(8)].into_iter();
        let answer = wait_until("seven", Duration::MAX, || answers.next().unwrap());
        assert_eq!(answer, Ok(7));
    }

    #[test]
    fn waiting_in_vain_names_what_was_awaited_and_the_last_answer() {
        let never = || Err::<(), _>(Failure::new("it rains"));
        let failure = wait_until("the sun shines", Duration::ZERO, never).unwrap_err();
        assert_eq!(failure.0, "waited 0 s until the sun shines: it rains");
    }
}
