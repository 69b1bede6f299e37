//! The Quorate node and its command line.
