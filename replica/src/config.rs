//! The configuration of one node: `quorate.toml`.
//!
//! ```toml
//! cluster_id = "0123456789abcdef0123456789abcdef"
//! node_id = 1
//! data_dir = "data"                        # from the folder of this file, unless absolute
//! control_address = "127.0.0.1:7400"
//! shard_addresses = ["127.0.0.1:7401"]     # one per shard
//! pin = false                              # whether each shard is bound to a core of its own
//! first_core = 0                           # shard i to core first_core + i
//! segment_bytes = 268435456                # old records are removed in pieces of this size
//! retention_check_ms = 30000               # how often is looked for old records
//! scrub_rest_ms = 60000                    # rest between two rounds in search of damage
//!
//! [[nodes]]                                # every node of the cluster, this one too
//! id = 1
//! control_address = "127.0.0.1:7400"
//! ```
//!
//! Every key but `pin`, `first_core` and those that end with `_bytes` or `_ms` must be there, and
//! no other may be. An error names the key, the value that it met and the values that are allowed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io};

use quorate_wire::ClusterId;
use serde::Serialize;
use toml::{Table, Value};

/// The most nodes of a cluster.
pub const NODES_MAX: usize = 64;
/// The most shards of a node.
pub const SHARDS_MAX: usize = 128;
/// The most cores of a machine.
const CORES_MAX: u16 = 1_024;
/// Smaller ones would be little but files, larger ones would hardly ever be removed.
const SEGMENT_BYTES: RangeInclusive<u64> = 64 << 10..=4 << 30;
const RETENTION_CHECK_MS: RangeInclusive<u64> = 100..=3_600_000;
const SCRUB_REST_MS: RangeInclusive<u64> = 100..=86_400_000;

/// What a node must know before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster that the node belongs to.
    pub cluster_id: ClusterId,
    /// The node's id, from 1.
    pub node_id: u16,
    /// The folder of everything that the node stores.
    pub data_dir: PathBuf,
    /// Where the control thread listens.
    pub control_address: SocketAddr,
    /// Where each shard listens; their number is the number of shards.
    pub shard_addresses: Vec<SocketAddr>,
    /// Whether shard `i` is bound to core `first_core + i`.
    pub pin: bool,
    /// The first of the cores that the shards are bound to.
    pub first_core: u16,
    /// How records are stored.
    pub storage: Storage,
    /// Every node of the cluster, this one too, sorted by id.
    pub nodes: Vec<Member>,
}

/// How a node stores records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// A segment is closed when it would grow beyond so many bytes.
    pub segment_bytes: u64,
    /// How often is looked for records that have expired.
    pub retention_check: Duration,
    /// The rest between two rounds over everything in search of damage.
    pub scrub_rest: Duration,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            retention_check: Duration::from_secs(30),
            scrub_rest: Duration::from_secs(60),
        }
    }
}

/// A node of the cluster, as all nodes are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node's id.
    pub id: u16,
    /// Where its control thread listens.
    pub control_address: SocketAddr,
}

impl Config {
    /// Reads the file at `path`; a relative `data_dir` starts at the file's folder.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let in_file = |reason| ConfigError {
            path: path.to_owned(),
            reason,
        };
        let text = fs::read_to_string(path).map_err(|error| in_file(Reason::Read(error)))?;
        let mut config = Self::parse(&text).map_err(in_file)?;
        config.data_dir = path
            .parent()
            .unwrap_or(Path::new(""))
            .join(&config.data_dir);
        Ok(config)
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let table = text
            .parse::<Table>()
            .map_err(|error| Reason::Syntax(error.to_string()))?;
        let mut keys = Keys {
            prefix: String::new(),
            table,
        };
        let config = Self {
            cluster_id: keys.cluster_id()?,
            node_id: keys.node_id("node_id")?,
            data_dir: keys.data_dir()?,
            control_address: keys.address("control_address")?,
            shard_addresses: keys.shard_addresses()?,
            pin: keys.pin()?,
            first_core: keys.first_core()?,
            storage: keys.storage()?,
            nodes: keys.nodes()?,
        };
        let allowed = "cluster_id, node_id, data_dir, control_address, shard_addresses, pin, \
                       first_core, segment_bytes, retention_check_ms, scrub_rest_ms, nodes";
        keys.end(allowed)?;
        config.check()?;
        Ok(config)
    }

    /// The core that shard `shard` is bound to, if it is to be bound.
    pub fn core_of(&self, shard: usize) -> Option<usize> {
        self.pin.then(|| usize::from(self.first_core) + shard)
    }

    /// The text of a file that [`Config::parse`] reads as this configuration.
    pub fn to_toml(&self) -> String {
        let file = FileText {
            cluster_id: self.cluster_id.to_string(),
            node_id: self.node_id,
            data_dir: &self.data_dir,
            control_address: self.control_address,
            shard_addresses: &self.shard_addresses,
            pin: self.pin,
            first_core: self.first_core,
            segment_bytes: self.storage.segment_bytes,
            retention_check_ms: self.storage.retention_check.as_millis() as u64,
            scrub_rest_ms: self.storage.scrub_rest.as_millis() as u64,
            nodes: self
                .nodes
                .iter()
                .map(|node| MemberText {
                    id: node.id,
                    control_address: node.control_address,
                })
                .collect(),
        };
        toml::to_string(&file).expect("numbers, text and lists of them can be written as TOML")
    }

    /// What no key alone can break.
    fn check(&self) -> Result<(), Reason> {
        let Some(me) = self.nodes.iter().find(|node| node.id == self.node_id) else {
            let ids: Vec<_> = self.nodes.iter().map(|node| node.id.to_string()).collect();
            return Err(Reason::value(
                "node_id",
                self.node_id,
                ids.join(", ") + " (from `nodes`)",
            ));
        };
        if me.control_address != self.control_address {
            let allowed = format!("{}, as `nodes` says of node {}", me.control_address, me.id);
            return Err(Reason::value(
                "control_address",
                self.control_address,
                allowed,
            ));
        }
        let mut taken: BTreeSet<_> = self.nodes.iter().map(|node| node.control_address).collect();
        for (shard, address) in self.shard_addresses.iter().enumerate() {
            if !taken.insert(*address) {
                let key = format!("shard_addresses[{shard}]");
                return Err(Reason::value(
                    key,
                    address,
                    "an address that nothing else has",
                ));
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct FileText<'a> {
    cluster_id: String,
    node_id: u16,
    data_dir: &'a Path,
    control_address: SocketAddr,
    shard_addresses: &'a [SocketAddr],
    pin: bool,
    first_core: u16,
    segment_bytes: u64,
    retention_check_ms: u64,
    scrub_rest_ms: u64,
    nodes: Vec<MemberText>,
}

#[derive(Serialize)]
struct MemberText {
    id: u16,
    control_address: SocketAddr,
}

/// The keys of one table that have not been read yet.
struct Keys {
    prefix: String,
    table: Table,
}

const ADDRESS: &str = "\"IP:PORT\" that other machines can dial, such as \"127.0.0.1:7400\"";

impl Keys {
    fn take(&mut self, key: &str, allowed: &str) -> Result<(String, Value), Reason> {
        let name = format!("{}{key}", self.prefix);
        match self.table.remove(key) {
            Some(value) => Ok((name, value)),
            None => Err(Reason::Missing {
                key: name,
                allowed: allowed.to_owned(),
            }),
        }
    }

    fn cluster_id(&mut self) -> Result<ClusterId, Reason> {
        let allowed = "a string of 32 hexadecimal digits, not all of them 0";
        let (key, value) = self.take("cluster_id", allowed)?;
        let digits = value
            .as_str()
            .filter(|text| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u128::from_str_radix(digits, 16).ok()) {
            Some(id) if id != 0 => Ok(ClusterId(id)),
            _ => Err(Reason::value(key, value, allowed)),
        }
    }

    fn node_id(&mut self, key: &str) -> Result<u16, Reason> {
        let allowed = "a whole number from 1 to 65535";
        let (key, value) = self.take(key, allowed)?;
        match value.as_integer().and_then(|id| u16::try_from(id).ok()) {
            Some(id) if id > 0 => Ok(id),
            _ => Err(Reason::value(key, value, allowed)),
        }
    }

    fn data_dir(&mut self) -> Result<PathBuf, Reason> {
        let allowed = "a string, the path of a folder";
        let (key, value) = self.take("data_dir", allowed)?;
        match value.as_str() {
            Some(path) if !path.is_empty() && !path.contains('\0') => Ok(PathBuf::from(path)),
            _ => Err(Reason::value(key, value, allowed)),
        }
    }

    fn address(&mut self, key: &str) -> Result<SocketAddr, Reason> {
        let (key, value) = self.take(key, ADDRESS)?;
        address_in(key, &value)
    }

    fn shard_addresses(&mut self) -> Result<Vec<SocketAddr>, Reason> {
        let allowed = format!("a list of 1 to {SHARDS_MAX} strings \"IP:PORT\"");
        let (key, value) = self.take("shard_addresses", &allowed)?;
        match value.as_array() {
            Some(items) if (1..=SHARDS_MAX).contains(&items.len()) => items
                .iter()
                .enumerate()
                .map(|(index, item)| address_in(format!("{key}[{index}]"), item))
                .collect(),
            _ => Err(Reason::value(key, value, allowed)),
        }
    }

    fn pin(&mut self) -> Result<bool, Reason> {
        match self.table.remove("pin") {
            None => Ok(false),
            Some(Value::Boolean(pin)) => Ok(pin),
            Some(value) => Err(Reason::value("pin", value, "true, false")),
        }
    }

    fn first_core(&mut self) -> Result<u16, Reason> {
        let Some(value) = self.table.remove("first_core") else {
            return Ok(0);
        };
        match value.as_integer().map(u16::try_from) {
            Some(Ok(core)) if core < CORES_MAX => Ok(core),
            _ => {
                let allowed = format!("a whole number from 0 to {}", CORES_MAX - 1);
                Err(Reason::value("first_core", value, allowed))
            }
        }
    }

    fn storage(&mut self) -> Result<Storage, Reason> {
        let default = Storage::default();
        let bytes = (SEGMENT_BYTES, default.segment_bytes);
        let check = (
            RETENTION_CHECK_MS,
            default.retention_check.as_millis() as u64,
        );
        let check_ms = self.number("retention_check_ms", check.0, check.1)?;
        let rest = default.scrub_rest.as_millis() as u64;
        let rest_ms = self.number("scrub_rest_ms", SCRUB_REST_MS, rest)?;
        Ok(Storage {
            segment_bytes: self.number("segment_bytes", bytes.0, bytes.1)?,
            retention_check: Duration::from_millis(check_ms),
            scrub_rest: Duration::from_millis(rest_ms),
        })
    }

    fn number(
        &mut self,
        key: &str,
        allowed: RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, Reason> {
        let Some(value) = self.table.remove(key) else {
            return Ok(default);
        };
        match value.as_integer().map(u64::try_from) {
            Some(Ok(number)) if allowed.contains(&number) => Ok(number),
            _ => {
                let (from, to) = allowed.into_inner();
                let allowed = format!("a whole number from {from} to {to}");
                Err(Reason::value(key, value, allowed))
            }
        }
    }

    fn nodes(&mut self) -> Result<Vec<Member>, Reason> {
        let allowed = format!("1 to {NODES_MAX} tables `[[nodes]]`");
        let (key, value) = self.take("nodes", &allowed)?;
        let items = match value {
            Value::Array(items) if (1..=NODES_MAX).contains(&items.len()) => items,
            value => return Err(Reason::value(key, value, allowed)),
        };
        let (mut ids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        let mut nodes = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let table = match item {
                Value::Table(table) => table,
                item => return Err(Reason::value(format!("nodes[{index}]"), item, "a table")),
            };
            let mut keys = Self {
                prefix: format!("nodes[{index}]."),
                table,
            };
            let id = keys.node_id("id")?;
            let control_address = keys.address("control_address")?;
            keys.end("id, control_address")?;
            if !ids.insert(id) {
                let key = format!("nodes[{index}].id");
                return Err(Reason::value(key, id, "an id that no other node has"));
            }
            if !addresses.insert(control_address) {
                let key = format!("nodes[{index}].control_address");
                let allowed = "an address that no other node has";
                return Err(Reason::value(key, control_address, allowed));
            }
            nodes.push(Member {
                id,
                control_address,
            });
        }
        nodes.sort_by_key(|node| node.id);
        Ok(nodes)
    }

    /// All keys must have been read by now.
    fn end(self, allowed: &str) -> Result<(), Reason> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(key) => Err(Reason::Unknown {
                key: format!("{}{key}", self.prefix),
                allowed: allowed.to_owned(),
            }),
        }
    }
}

fn address_in(key: String, value: &Value) -> Result<SocketAddr, Reason> {
    match value
        .as_str()
        .and_then(|text| text.parse::<SocketAddr>().ok())
    {
        Some(address) if address.port() != 0 && !address.ip().is_unspecified() => Ok(address),
        _ => Err(Reason::value(key, value, ADDRESS)),
    }
}

/// Why a file is not a configuration.
#[derive(Debug)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with the text of a configuration.
#[derive(Debug)]
pub enum Reason {
    /// The file cannot be read.
    Read(io::Error),
    /// The text is not TOML.
    Syntax(String),
    /// A key is not there.
    Missing {
        /// The key.
        key: String,
        /// The values that it may have.
        allowed: String,
    },
    /// There is no such key.
    Unknown {
        /// The key.
        key: String,
        /// The keys that there are.
        allowed: String,
    },
    /// A key has a value that it may not have.
    Value {
        /// The key.
        key: String,
        /// The value that it has.
        value: String,
        /// The values that it may have.
        allowed: String,
    },
}

impl Reason {
    fn value(key: impl Into<String>, value: impl fmt::Display, allowed: impl Into<String>) -> Self {
        Self::Value {
            key: key.into(),
            value: value.to_string(),
            allowed: allowed.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration {}: {}", self.path.display(), self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "cannot be read: {error}"),
            Self::Syntax(error) => write!(f, "is not TOML: {error}"),
            Self::Missing { key, allowed } => {
                write!(f, "the key `{key}` is missing; allowed: {allowed}")
            }
            Self::Unknown { key, allowed } => {
                write!(f, "there is no key `{key}`; allowed keys: {allowed}")
            }
            Self::Value {
                key,
                value,
                allowed,
            } => {
                write!(
                    f,
                    "the key `{key}` may not be {}; allowed: {allowed}",
                    value.trim()
                )
            }
        }
    }
}

impl std::error::Error for ConfigError {}
impl std::error::Error for Reason {}

#[cfg(test)]
mod tests;
