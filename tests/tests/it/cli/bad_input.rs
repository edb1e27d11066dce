//! Bad input: a clear message, an exit code, no panic, and nothing lost.

use std::os::unix::fs::symlink;

use fleetline_tests::openai_stub::OpenAiStub;

use super::harness::{Place, log_of, sum};

/// A file whose run fails, with what the message must say besides its name.
fn refused(name: &str, content: impl AsRef<[u8]>, says: &[&str]) {
    let place = Place::new();
    place.write(name, content);
    for extra in [&[][..], &["--dry-run"]] {
        let args = [&["run", name][..], extra].concat();
        place.run(&args).exits(1).says(&["error:", name]).says(says);
    }
}

#[test]
fn nothing_to_read() {
    refused("empty.xml", "", &["the document is empty"]);
    refused("empty.log", "", &["the log is empty"]);
    refused("blank.xml", " \n \n", &["the document is empty"]);
    refused("blank.log", " \n \n", &["the log is empty"]);
}

#[test]
fn no_xml() {
    refused("words.xml", "these are words\n", &["not XML", "these are words"]);
    refused("cut.xml", "<list>\n  <a>1</a>\n  <a>2</a>\n  <a>3", &["malformed", "line 4, column 7"]);
    refused("crossed.xml", "<list>\n<a></b>\n</list>", &["malformed", "line 2, column 4"]);
    refused("latin.xml", b"<list>\n<a>\xff\xfe</a>\n</list>", &["not UTF-8", "line 2, column 4"]);
}

#[test]
fn entities_do_not_explode() {
    let laughs = r#"<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol1 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]>
<lolz>&lol1;</lolz>"#;
    refused("laughs.xml", laughs, &["DOCTYPE at line 2", "refused"]);
}

#[test]
fn a_huge_attribute() {
    let huge = format!("<list><a b=\"{}\"/><a/></list>", "x".repeat(10 << 20));
    refused("huge.xml", huge, &["too long at line 1", "discovery.max_node_mb"]);
}

#[test]
fn a_huge_line_is_cut_and_counted() {
    let place = Place::new();
    let huge = "x".repeat(10 << 20);
    place
        .write("huge.log", format!("2024-05-01 10:00:00 ERROR {huge}\n2024-05-01 10:00:01 ERROR it broke\n"));
    let run = place.run(&["run", "huge.log", "--json"]).exits(0).json()["run"].clone();
    assert_eq!((&run["notes"]["lines"], &run["notes"]["truncated_lines"]), (&2.into(), &1.into()), "{run}");
    assert_eq!(run["counts"]["occurrences"], 2);
}

#[test]
fn bytes_that_are_no_text_are_kept_and_counted() {
    let place = Place::new();
    place.write("latin.log", b"2024-05-01 10:00:00 ERROR caf\xe9 closed\n2024-05-01 10:00:01 ERROR open\n");
    let run = place.run(&["run", "latin.log", "--json", "--out", "out.jsonl"]).exits(0).json()["run"].clone();
    assert_eq!(
        (&run["notes"]["lines"], &run["notes"]["invalid_utf8_lines"]),
        (&2.into(), &1.into()),
        "{run}"
    );
    assert_eq!(sum(&place.rows("out.jsonl"), "occurrences"), 2);
}

#[test]
fn a_program_or_an_archive_is_no_log() {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend((0..4096_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()));
    refused("program", &elf, &["ELF program"]);
    let mut gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    gzip.extend(&elf[16..]);
    refused("app.log.gz", &gzip, &["gzip", "gunzip -c"]);
    let utf16: Vec<_> = "\u{feff}2024-05-01 it broke".encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused("windows.log", &utf16, &["UTF-16", "iconv"]);
}

#[test]
fn no_file() {
    let place = Place::new();
    place.run(&["run", "missing.xml"]).exits(1).says(&["missing.xml", "No such file"]);
    std::fs::create_dir(place.path("folder")).expect("a folder");
    place.run(&["run", "folder"]).exits(1).says(&["folder", "directory"]);
    assert!(!place.path("fleetline.db").exists(), "an input that cannot be read leaves no trace");
}

#[test]
fn wrong_usage_is_told_as_such() {
    let logs = Place::new().env("FLEETLINE_LOG", "fleetline=loud");
    logs.run(&["status"]).exits(2).says(&["FLEETLINE_LOG=fleetline=loud", "such as debug"]);
    let metrics = Place::new().run(&["work", "--metrics", "nonsense"]).exits(2);
    metrics.says(&["--metrics", "an address and a port"]);
    Place::new().run(&["keys", "create", "--tenant", ""]).exits(2).says(&["the tenant is empty"]);
    let table: [(&str, &str, &[&str], &str); 4] = [
        (
            "POSTGRES__URL",
            "mysql://h/d",
            &["status", "--fleet"],
            "postgres.url: expected a URL that starts with postgres://",
        ),
        (
            "RABBITMQ__URL",
            "http://h",
            &["topology", "check"],
            "rabbitmq.url: expected a URL that starts with amqp://",
        ),
        (
            "RABBITMQ__MANAGEMENT_URL",
            "amqp://h",
            &["topology", "apply"],
            "expected a URL that starts with http://",
        ),
        (
            "REDIS__URL",
            "http://:s3cret@h",
            &["doctor"],
            "redis.url: expected a URL that starts with redis://",
        ),
    ];
    for (setting, url, args, said) in table {
        let variable = format!("FLEETLINE_{setting}");
        let ended = Place::new().env(&variable, url).run(args);
        let is_doctor = args == ["doctor"];
        assert_eq!(ended.code, Some(if is_doctor { 1 } else { 2 }), "{ended:?}");
        let told = if is_doctor { &ended.stdout } else { &ended.stderr };
        assert!(told.contains(said) && told.contains(&variable) && !told.contains("s3cret"), "{ended:?}");
    }
}

#[test]
fn logs_in_files_have_no_colours() {
    let stub = OpenAiStub::start();
    let place = Place::with_stub(&stub).env("FLEETLINE_LOG", "debug");
    place.write("a.log", log_of(1));
    let said = place.run(&["run", "a.log"]).exits(0).says(&["DEBUG"]).stderr;
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn wrong_settings_are_all_told() {
    let place = Place::new();
    place.write("a.log", log_of(1));
    place.write("bad.toml", "[worker]\nconcurency = 3\n[jobs]\ntimeout = \"soon\"\n");
    let ended = place.run(&["run", "a.log", "--config", "bad.toml"]).exits(2);
    ended.says(&["bad.toml", "concurency", "did you mean", "concurrency", "timeout", "soon"]);
    place.run(&["run", "a.log", "--no-such-flag"]).exits(2).says(&["--no-such-flag"]);
    place.run(&["run"]).exits(2).says(&["FILE"]);
    place.run(&["run", "a.log", "--config", "missing.toml"]).exits(2).says(&["missing.toml"]);
}

/// Who takes files ends with code 2, so the check says it before; others do without.
#[test]
fn a_missing_node_configuration_is_told_by_the_check() {
    let place = Place::new();
    place.write("a.log", log_of(1));
    place.write("fleetline.toml", "[discovery]\nnodes = \"nodes.toml\"\n");
    place.run(&["config", "check"]).exits(2).says(&["node configuration nodes.toml", "No such file"]);
    place.run(&["fingerprint", "a.log"]).exits(0);
}

#[test]
fn a_database_that_cannot_be() {
    let stub = OpenAiStub::start();
    let place = Place::with_stub(&stub);
    place.write("a.log", log_of(2));
    place.write("words.db", "this is no database, but a text long enough to hold a header.".repeat(99));
    for db in ["missing/x.db", "/proc/nope.db", "a.log/x.db", "words.db"] {
        place.run(&["run", "a.log", "--db", db]).exits(1).says(&["error:", db]);
    }
    let text = std::fs::read_to_string(place.path("words.db")).expect("still there");
    assert!(text.starts_with("this is no database"), "what is no database is left alone");
    assert_eq!(stub.call_count(), 0);
}

#[test]
fn an_out_file_that_cannot_be() {
    let stub = OpenAiStub::start();
    let place = Place::with_stub(&stub);
    place.write("a.log", log_of(2));
    for out in ["missing/out.jsonl", "/proc/out.jsonl", "a.log/out.jsonl"] {
        let ended = place.run(&["run", "a.log", "--out", out]).exits(1).says(&["--out", out, "the folder"]);
        assert!(!ended.stderr.contains(".tmp"), "a file that nobody knows: {ended:#?}");
    }
    assert_eq!(stub.call_count(), 0, "refused before anything is paid");
}

#[test]
fn an_out_file_that_the_command_needs() {
    let place = Place::new();
    place.write("a.log", log_of(2));
    place.write("fleetline.toml", "[discovery]\nnodes = \"nodes.toml\"\n");
    place.write("nodes.toml", "[[node]]\npattern = \"/list/item\"\n");
    symlink("a.log", place.path("link")).expect("a link");
    let refused = |command: &[&str], out| {
        let ended = place.run(&[command, &["--out", out]].concat()).exits(2);
        ended.says(&["--out", out, "would be overwritten"]);
    };
    let of_database = ["fleetline.db", "./fleetline.db", "fleetline.db-wal", "fleetline.db.lock"];
    for out in ["a.log", "link", "fleetline.toml", "nodes.toml"].iter().chain(&of_database) {
        refused(&["run", "a.log"], out);
    }
    assert!(!place.path("fleetline.db").exists(), "refused before anything is done");
    place.run(&["run", "a.log"]).exits(0);
    for out in of_database {
        refused(&["run", "a.log"], out);
        refused(&["run", "--resume", "latest"], out);
    }
    let mut fed = place.command(&["run", "-", "--out", "a.log"]);
    let fed = fed.stdin(std::fs::File::open(place.path("a.log")).expect("it is there")).output();
    assert_eq!(fed.expect("it starts").status.code(), Some(2), "standard input is a file as well");
    assert_eq!(std::fs::read_to_string(place.path("a.log")).expect("it is there"), log_of(2));
}

#[test]
fn what_came_before_an_error_can_be_kept() {
    let place = Place::new().env("FLEETLINE_DISCOVERY__ON_MALFORMED", "keep");
    let items: Vec<_> =
        (1..=5).map(|n| format!("<item><id>I{n}</id><price>{n}.50</price></item>\n")).collect();
    let items = items.concat();
    place.write("cut.xml", format!("<list>\n{items}<item><id>I6</i"));
    place.run(&["run", "cut.xml", "--out", "out.jsonl"]).exits(1).says(&["cut.xml", "line 7", "is kept"]);
    let rows = place.rows("out.jsonl");
    let text = serde_json::to_string(&rows).expect("JSON");
    for n in 1..=5 {
        assert!(text.contains(&format!("I{n}")), "item {n} is in the results: {text}");
    }
    assert!(rows.iter().all(|row| row["state"] == "succeeded"));
    // The run is finished the moment it is sealed, since nothing is left to do.
    let again = place.run(&["run", "cut.xml"]).exits(1).says(&["cut.xml", "line 7", "is kept"]);
    again.prints(&["reused"]);
}
