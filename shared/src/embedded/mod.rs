//! Adapters for one process, no servers: a file and memory.
