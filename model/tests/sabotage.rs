//! The check finds what it is to find: rules are broken on purpose, and the command that does it is
//! run as a person would run it.

use std::process::{Command, Output};

/// Rows that take a second or two even without optimization; `.ci/run` runs them all.
const QUICK: &[&str] = &[
    "partition-slow-disk",
    "partition-half-filled",
    "partition-joint",
    "group-slow-disk",
    "group-promise-crash",
    "group-deposed",
    "group-repeated-request",
    "group-damaged-entry",
    "group-hasty-change",
];

fn sabotage(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate-model"))
        .arg("sabotage")
        .args(arguments)
        .output()
        .expect("the command was built for this test")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn rules_that_are_broken_on_purpose_are_found_broken() {
    let output = sabotage(QUICK);
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    let rows = text.lines().filter(|line| line.contains(" yes "));
    assert!(rows.count() > QUICK.len(), "{text}");
    assert!(!text.contains(" NO "), "{text}");
}

#[test]
fn way_to_a_violation_is_told_in_the_words_of_the_paper() {
    let output = sabotage(&["ReconfiguredWithoutOldMajority group", "--stories"]);
    let text = text(&output);
    let words = [
        "VIOLATED: what is committed is in the log of every later view",
        "node 1 takes the vote of node",
        "StartViewChange",
        "DoViewChange",
        "takes part in view 0.2 without \"op 1 of view 0.1",
    ];
    for word in words {
        assert!(text.contains(word), "{word} is missing in: {text}");
    }
}

#[test]
fn nothing_that_is_looked_for_is_no_success() {
    assert!(!sabotage(&["no rule has this name"]).status.success());
}
