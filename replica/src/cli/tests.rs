use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Cli, String> {
    let arguments = std::iter::once("quorate").chain(line.split_whitespace());
    Cli::try_parse_from(arguments).map_err(|error| error.to_string())
}

#[test]
fn the_command_tree_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_contract_is_understood() {
    let lines = [
        "up",
        "up --nodes 3 --data-dir D --base-port 7400",
        "up --nodes 1 --shards 2 --restart --ready-timeout 5s",
        "node --config D/node-1/quorate.toml",
        "node --config f --log-file node.log --log debug --log-format json",
        "doctor",
        "doctor --data-dir D --output json",
        "topic create orders --partitions 6 --replication 3",
        "topic create orders --retention 7d --retention-bytes 10GiB",
        "topic alter orders --retention forever --retention-bytes unlimited",
        "topic create users --compact --keep-tombstones 24h",
        "topic alter users --keep-tombstones 7d",
        "topic alter orders --replicas 1,2 --partition 0 --retention 12h",
        "topic delete-records orders --partition 0 --before 42",
        "topic delete-records orders --all-partitions --before end --output json",
        "topic list --output json",
        "topic describe orders",
        "topic delete orders --bootstrap 127.0.0.1:7400,127.0.0.1:7402",
        "produce orders",
        "produce orders --file F --partition 0 --key-separator : --acks quorum",
        "produce orders --acks leader --delivery-timeout 5s --output json",
        "produce orders --acks none",
        "produce users --key-separator : --null-value NULL",
        "consume orders --from beginning --max 10",
        "consume orders --partition 1 --from 42 --follow --output json",
        "cluster status --output json",
        "bench produce --record-size 1024 --batch-size 65536 --partitions 3 --output json",
        "bench produce --producers 2 --in-flight 5 --acks quorum --duration 10s",
        "bench consume --topic bench --output json",
    ];
    for line in lines {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn a_wrong_value_is_refused_with_the_option_and_what_it_may_be() {
    let cases: &[(&str, &[&str])] = &[
        ("up --nodes 0", &["--nodes", "1..=7"]),
        ("up --nodes 8", &["--nodes", "1..=7"]),
        ("up --shards 0", &["--shards", "1..=128"]),
        ("up --base-port 0", &["--base-port", "1..="]),
        ("up --ready-timeout soon", &["--ready-timeout", "500ms"]),
        ("node", &["--config"]),
        ("topic create t --partitions 0", &["--partitions"]),
        (
            "produce t --acks some",
            &["--acks", "quorum", "leader", "none"],
        ),
        ("produce t --key-separator=", &["--key-separator"]),
        (
            "consume t --from middle",
            &["--from", "beginning, end, an offset from 0"],
        ),
        ("consume t --output xml", &["--output", "table", "json"]),
        (
            "topic list --bootstrap nowhere",
            &["--bootstrap", "HOST:PORT"],
        ),
        ("bench produce --producers 0", &["--producers", "1..=64"]),
    ];
    for (line, parts) in cases {
        let error = parse(line).expect_err(line);
        for part in *parts {
            assert!(error.contains(part), "{line}: \"{part}\" is in: {error}");
        }
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let help = Cli::command().render_long_help().to_string();
    assert!(
        help.contains("it is not known whether it was done"),
        "{help}"
    );
}
