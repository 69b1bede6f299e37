//! A file that streams in while the leading node is killed comes out byte for byte.

use std::fmt::Write as _;
use std::fs;
use std::process::Stdio;
use std::thread;

use quorate_jepsen::{Failure, PATIENCE, wait_until};
use quorate_tests::{TOPIC, assert_no_panic, cluster_with_topic, sure, take_turn};

const LINES: u32 = 400_000;

/// Lines of different lengths, each of which says which it is.
fn text() -> String {
    let mut text = String::new();
    for line in 0..LINES {
        let width = 10 + line as usize % 90;
        writeln!(text, "{line:0width$}").expect("text can be added to a string");
    }
    text
}

#[test]
fn file_survives_the_leader() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    let file = cluster.folder().join("text");
    let text = text();
    fs::write(&file, &text).unwrap();

    let line = cluster.command_line();
    let file = file.to_str().expect("temporary folders have plain names");
    let mut command = line.command(&["produce", TOPIC, "--file", file]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let producer = command.spawn().unwrap();
    let producing = thread::spawn(move || producer.wait_with_output());

    // In the middle of it: some is written, and the command has not ended.
    sure(wait_until(
        "the file has begun to stream in",
        PATIENCE,
        || match sure(line.partitions(TOPIC))[0].high_watermark {
            Some(written) if written > u64::from(LINES) / 20 => Ok(()),
            written => Err(Failure::new(format!("{written:?}"))),
        },
    ));
    let leader = sure(cluster.leader(TOPIC, 0));
    sure(cluster.kill(leader));
    assert!(
        !producing.is_finished(),
        "the file was too short to be interrupted"
    );

    let produced = producing.join().unwrap().unwrap();
    let said = String::from_utf8_lossy(&produced.stderr);
    assert!(produced.status.success(), "{said}");
    let read = sure(line.run(&["consume", TOPIC]));
    assert_eq!(read.len(), text.len());
    assert!(
        read == text.as_bytes(),
        "what came out differs from the file"
    );
    assert_no_panic(&cluster);
}
