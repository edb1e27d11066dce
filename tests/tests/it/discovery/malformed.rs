//! Bad documents: what is said, and where.

use fleetline_producer::discovery::{DiscoveryOptions, OnMalformed, XmlError};

use super::{options, outline, split_as};

fn error(document: &[u8], options: &DiscoveryOptions) -> String {
    let mut sent = 0;
    match split_as(document, options, "builtin").inspect(|split| sent = split.jobs.len()) {
        Ok(_) => panic!("{} jobs of {:?}", sent, String::from_utf8_lossy(document)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn says_line_and_column() {
    let cases: [(&[u8], &str); 34] = [
        (b"", "the document is empty: 0 bytes"),
        (b" \n\t\n", "the document is empty: no root element"),
        (b"<?xml version='1.0'?>\n<!-- x -->\n", "the document is empty: no root element"),
        (b"{\"a\": 1}", "this is not XML: it starts with `{\\\"a\\\": 1}`"),
        (b"\x7fELF\x02\x01\xff\xfe", "malformed XML at line 1, column 7: bytes that are not UTF-8"),
        (b"<a>\n<b></a>", "line 2, column 4 (in /a/b)"),
        (b"<a>\n <b>\n  text", "line 3, column 7 (in /a/b): the document ends before"),
        (b"<a>\n <b/>\n</a>\n<c/>", "line 4, column 1: a second root element"),
        (b"<a/>\n\n  junk", "line 1, column 5: text after the root element"),
        (b"<a/></b>", "line 1, column 5"),
        (b"<a>\n\xc3\xa9 ab\x01</a>", "line 2, column 5 (in /a): character U+0001 is not allowed"),
        (b"<a>\n<b x='1' x='2'/></a>", "line 2, column 1 (in /a): attribute `x` is there twice"),
        (
            b"<a xmlns:p='u' xmlns:q='u'><b p:x='1' q:x='2'/></a>",
            "line 1, column 28 (in /a): attribute `q:x` is there twice",
        ),
        (b"<a>\n  <p:b/></a>", "line 2, column 3 (in /a): prefix `p` is not declared"),
        (b"<a>\n  <b p:x=''/></a>", "line 2, column 3 (in /a): prefix `p` is not declared"),
        (b"<a>&nbsp;</a>", "line 1, column 4 (in /a): entity `&nbsp;` is not one of XML's five"),
        (b"<a>\n &#0;</a>", "line 2, column 2 (in /a)"),
        (b"<a>\n &#x1F;</a>", "line 2, column 2 (in /a): `&#x1F;` is no legal character"),
        (b"<a b='&#xFFFF;'/>", "line 1, column 1: character U+FFFF is not allowed"),
        (b"<a>a & b</a>", "line 1, column 6 (in /a)"),
        (b"<a b='<'/>", "line 1, column 1: `<` in attribute `b`"),
        (b"<a b=c/>", "line 1, column 1: attribute"),
        (b"<a b/>", "line 1, column 1: attribute"),
        (b"<a b='1'c='2'/>", "line 1, column 1: white space is missing before attribute `c`"),
        (b"<a>]]></a>", "line 1, column 4 (in /a): `]]>` in text"),
        (b"<1a/>", "line 1, column 1: `1a` is not a name"),
        (b"<a>\n<b", "line 2, column 1 (in /a)"),
        (b"<a><!-- -- --></a>", "line 1, column 9 (in /a): forbidden string `--`"),
        (b"<a><![CDATA[x</a>", "line 1, column 4 (in /a)"),
        (b"\n<?xml version='1.0'?><a/>", "line 2, column 1: the XML declaration must be at the very start"),
        (b"<a>\n\n\xff</a>", "line 3, column 1 (in /a): bytes that are not UTF-8"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "line 1, column 1: unknown encoding `klingon`"),
        (b"\xff\xfe\0\0<\0\0\0", "UTF-32 is not supported"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>\n<a>&b;</a>", "a DOCTYPE at line 1, column 1; DTDs are refused"),
    ];
    for (document, expected) in cases {
        let said = error(document, &options(20 * 1024));
        assert!(
            said.contains(expected),
            "{:?}\nsaid: {said}\nnot: {expected}",
            String::from_utf8_lossy(document)
        );
    }
}

#[test]
fn a_billion_laughs_are_refused_at_once() {
    let mut bomb = String::from("<?xml version=\"1.0\"?>\n<!DOCTYPE lolz [\n<!ENTITY lol0 \"lol\">\n");
    for level in 1..10 {
        let inner = format!("&lol{};", level - 1).repeat(10);
        bomb.extend(["<!ENTITY lol", &level.to_string(), " \"", &inner, "\">\n"]);
    }
    bomb += "]>\n<lolz>&lol9;</lolz>";
    assert!(error(bomb.as_bytes(), &options(1024)).contains("a DOCTYPE at line 2, column 1"));
}

#[test]
fn places_count_characters_in_any_encoding() {
    let document = "<a>\n<ü>é&bad;</ü></a>";
    let utf16: Vec<u8> =
        [0xFEFF].into_iter().chain(document.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    for bytes in [document.as_bytes(), &utf16] {
        let said = error(bytes, &options(1024));
        assert!(said.contains("line 2, column 5 (in /a/ü): entity `&bad;`"), "{said}");
    }
}

#[test]
fn limits_name_the_place_and_the_setting() {
    let small = DiscoveryOptions {
        max_subtree: 100,
        max_node: 1_000,
        max_depth: 3,
        max_attributes: 2,
        max_paths: 6,
        ..DiscoveryOptions::default()
    };
    let long = "x".repeat(200_000);
    let cases = [
        (
            format!("<a>\n<b>{long}</b></a>"),
            "too long at line 2, column 4 (in /a/b); raise `discovery.max_node_mb`",
        ),
        (
            format!("<a>\n<b c='{long}'/></a>"),
            "too long at line 2, column 1 (in /a); raise `discovery.max_node_mb`",
        ),
        (format!("<a><b>{}</b></a>", "x<!---->".repeat(1_100)), "longer than 1000 bytes at line 1"),
        (
            "<a><b><c><d/></c></b></a>".into(),
            "deeper than 3 at line 1, column 10 (in /a/b/c); raise `discovery.max_depth`",
        ),
        ("<a><b c='' d='' e=''/></a>".into(), "more than 2 attributes at line 1, column 4"),
        (
            "<a><b/><c/><d/><e/><f/><g/></a>".into(),
            "more than 6 distinct paths at line 1, column 24 (in /a); raise",
        ),
    ];
    for (document, expected) in cases {
        let said = error(document.as_bytes(), &small);
        assert!(said.contains(expected), "said: {said}\nnot: {expected}");
    }
}

#[test]
fn options_are_checked_all_at_once() {
    let bad = DiscoveryOptions { max_subtree: 0, max_depth: 0, ..DiscoveryOptions::default() };
    let said = error(b"<a/>", &bad);
    assert!(said.contains("max_subtree_kb") && said.contains("max_depth"), "{said}");
}

/// Three whole items, then an error in the fourth.
const CUT_OFF: &str = "<o n='1'><i><n>1</n></i><i><n>2</n></i><note>x</note><i><n>3</n></i><i><n>4</";

#[test]
fn keeps_what_was_complete_if_told_so() {
    assert!(error(CUT_OFF.as_bytes(), &options(1024)).contains("line 1"));
    let keep = DiscoveryOptions { on_malformed: OnMalformed::Keep, ..options(1024) };
    let split = split_as(CUT_OFF.as_bytes(), &keep, "builtin").unwrap();
    assert_eq!(
        outline(&split),
        [
            "/o: <o n=\"1\"><?cut i 2?><note>x</note><?continues?></o>",
            "/o/i[1]: <i><n>1</n></i>",
            "/o/i[2]: <i><n>2</n></i>",
            "/o/i[3]: <i><n>3</n></i>",
        ]
    );
    let report = split.report;
    assert!(report.error.unwrap().contains("malformed XML at line 1"));
    assert_eq!(report.elements_lost, 2);
    assert_eq!(report.elements, report.elements_in_jobs + report.elements_lost);
}

#[test]
fn keeping_survives_an_error_at_any_byte() {
    let whole = "<o xmlns='u' n='1'><p:l xmlns:p='v'><p:i a='é'><n>1</n></p:i><p:i><n>22222222</n>t<m/></p:i></p:l><k/></o>";
    let keep = DiscoveryOptions { on_malformed: OnMalformed::Keep, ..options(40) };
    for end in 0..whole.len() {
        match split_as(&whole.as_bytes()[..end], &keep, "builtin") {
            Ok(split) => {
                let report = split.report;
                assert_eq!(report.elements, report.elements_in_jobs + report.elements_lost, "{end}");
                assert!(split.jobs.iter().all(|(_, args)| roxmltree::Document::parse(&args.xml).is_ok()));
            }
            Err(XmlError::Empty(_) | XmlError::Malformed { .. }) => {}
            Err(error) => panic!("{end}: {error}"),
        }
    }
}
