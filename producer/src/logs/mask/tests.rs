use super::mask;

#[test]
fn what_varies_is_masked() {
    for (text, expected) in [
        (
            "Received block blk_3587 of size 67108864 from /10.251.42.84",
            "Received block blk_<id> of size <num> from <addr>",
        ),
        ("10.251.30.85:50010:Got exception while serving", "<addr>:Got exception while serving"),
        ("Old: web-1/10.1.1.1:9000 New: web-1:9000", "Old: <addr> New: <addr>"),
        ("Connected to db.example.com:5432", "Connected to <addr>"),
        ("at main.py:42 and std::fmt", "at main.py:<num> and std::fmt"),
        ("GET https://a.b/c?d=e,f failed.", "GET <url> failed."),
        ("open /var/log/x.log: denied", "open <path>: denied"),
        ("read ./conf/app.yml and conf/app.yml", "read <path> and <path>"),
        ("built on 06/10/2013 at 17:26:01", "built on <num> at <time>"),
        ("since 2024-01-01T10:00:00Z until Sun Jun 19 00:22:10 2005", "since <time> until <time>"),
        ("Can't find child 5", "Can't find child <num>"),
        ("user 'bob' isn't 'here'", "user <str> isn't <str>"),
        ("it said \"no such file or directory here\"", "it said \"no such file or directory here\""),
        ("a=1, b.c=x(y=2), d=[1, 2], e=\"f g\"", "a=<*>, b.c=<*>, d=<*>, e=<*>"),
        ("my id = 1, error = none", "my id = <num>, error = <*>"),
        ("if a == b", "if a == b"),
        ("<memory:10, cores:-17>", "<memory:<num>, cores:<num>>"),
        ("{kind: Token, error: Timeout, id: 5}", "{kind: <*>, error: Timeout, id: <num>}"),
        ("(2, 1) [3 4]", "(<num>) [<num>]"),
        ("commit 9fceb02d0ae598e95dc970b74767f19372d61af8", "commit <id>"),
        ("1,234,567 rows  in   5 s", "<num> rows in <num> s"),
        ("took 5ms (limit=3), 64 MiB", "took <num> (limit=<*>), <num>"),
        ("org.acme.v2.Foo$Bar failed", "org.acme.v2.Foo$Bar failed"),
        ("n/a, I/O and TCP/IP", "n/a, I/O and TCP/IP"),
        ("status=1/FAILURE", "status=<num>/FAILURE"),
        ("  \n\ttwo\nlines ", "two lines"),
        ("", ""),
        ("***", "***"),
        ("-> x => y", "-> x => y"),
    ] {
        assert_eq!(mask(text), expected, "{text}");
    }
}

#[test]
fn a_long_message_is_masked_up_to_a_word() {
    let list = "blk_1234567 ".repeat(100_000);
    assert_eq!(mask(&format!("delete {list}")), "delete blk_<id>");
}
