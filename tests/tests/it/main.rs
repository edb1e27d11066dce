//! Whole pipelines and adapters, each test in a file named for what it shows.

mod discovery;
