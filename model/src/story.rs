//! The way to a violation, without the detours.

use crate::report::Violation;
use crate::rule::{Judged, Rule, Told};

/// Tells how a rule came to be violated by these steps, leaving out all that had no part in it.
pub(crate) fn tell<P: Judged>(model: &P, rule: &Rule<P>, steps: Vec<P::Action>) -> Violation {
    let steps = shorten(model, rule, steps);
    let last = steps.iter().fold(begin(model), |state, step| {
        model.next_state(&state, step.clone()).unwrap_or(state)
    });
    Violation {
        rule: rule.name,
        meaning: rule.meaning,
        what: last.what_is_broken().map(str::to_owned),
        steps: steps.iter().map(ToString::to_string).collect(),
        outcome: format!("{last:?}"),
    }
}

fn begin<P: Judged>(model: &P) -> P::State {
    model.init_states().swap_remove(0)
}

/// Leaves steps out, first many at once and at last one by one, as long as what is left is possible
/// and still violates the rule.
fn shorten<P: Judged>(model: &P, rule: &Rule<P>, mut steps: Vec<P::Action>) -> Vec<P::Action> {
    let mut count = steps.len().div_ceil(2);
    loop {
        let mut is_shorter = false;
        let mut from = 0;
        while from < steps.len() {
            let until = steps.len().min(from + count);
            let rest = steps[..from].iter().chain(&steps[until..]);
            match violates(model, rule, rest) {
                Some(shorter) => {
                    steps = shorter;
                    is_shorter = true;
                }
                None => from = until,
            }
        }
        if count == 1 && !is_shorter {
            return steps;
        }
        if !is_shorter {
            count = count.div_ceil(2);
        }
    }
}

/// The steps up to the violation, if they are possible and lead to one.
fn violates<'a, P: Judged>(
    model: &P,
    rule: &Rule<P>,
    steps: impl Iterator<Item = &'a P::Action>,
) -> Option<Vec<P::Action>> {
    let mut state = begin(model);
    let mut taken = Vec::new();
    let mut possible = Vec::new();
    for step in steps {
        possible.clear();
        model.actions(&state, &mut possible);
        if !possible.contains(step) {
            return None;
        }
        // A step that changes nothing is left out as well.
        if let Some(next) = model.next_state(&state, step.clone()) {
            state = next;
            taken.push(step.clone());
            if !(rule.condition)(model, &state) {
                return Some(taken);
            }
        }
    }
    None
}
