//! The control-plane group: Viewstamped Replication with stable storage.
