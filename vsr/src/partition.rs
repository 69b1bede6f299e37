//! Partition replication: how records reach a majority inside an epoch.
