use io_uring::opcode;

/// An operation that a node gives to its rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) code: u8,
    /// The first kernel that knows it.
    pub(crate) since: &'static str,
    pub(crate) frequency: Frequency,
}

/// How much a node depends on an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frequency {
    /// For every record, connection or wake-up: without it nothing works, or every use of it
    /// occupies a thread.
    Steady,
    /// Now and then; where the kernel lacks it, a helper thread does it, and nobody notices.
    Rare,
}

const fn steady(name: &'static str, code: u8, since: &'static str) -> Operation {
    Operation {
        name,
        code,
        since,
        frequency: Frequency::Steady,
    }
}

const fn rare(name: &'static str, code: u8, since: &'static str) -> Operation {
    Operation {
        name,
        code,
        since,
        frequency: Frequency::Rare,
    }
}

/// All that the runtime submits for what the platform asks of it, and for itself.
pub(crate) const OPERATIONS: [Operation; 19] = [
    steady("poll_add", opcode::PollAdd::CODE, "5.1"),
    steady("async_cancel", opcode::AsyncCancel::CODE, "5.5"),
    steady("read", opcode::Read::CODE, "5.6"),
    steady("write", opcode::Write::CODE, "5.6"),
    steady("fsync", opcode::Fsync::CODE, "5.1"),
    steady("accept", opcode::Accept::CODE, "5.5"),
    steady("connect", opcode::Connect::CODE, "5.5"),
    steady("recv", opcode::Recv::CODE, "5.6"),
    steady("sendmsg", opcode::SendMsg::CODE, "5.3"),
    rare("openat", opcode::OpenAt::CODE, "5.6"),
    rare("close", opcode::Close::CODE, "5.6"),
    rare("statx", opcode::Statx::CODE, "5.6"),
    rare("renameat", opcode::RenameAt::CODE, "5.11"),
    rare("unlinkat", opcode::UnlinkAt::CODE, "5.11"),
    rare("mkdirat", opcode::MkDirAt::CODE, "5.15"),
    rare("socket", opcode::Socket::CODE, "5.19"),
    rare("ftruncate", opcode::Ftruncate::CODE, "6.9"),
    rare("bind", opcode::Bind::CODE, "6.11"),
    rare("listen", opcode::Listen::CODE, "6.11"),
];
