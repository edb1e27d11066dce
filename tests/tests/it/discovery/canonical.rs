//! The same content gives the same XML and the same dedup key, however it is written.

use super::{options, outline, split, split_as};

#[test]
fn writing_does_not_matter() {
    let one = r#"<?xml version="1.0"?>
        <o xmlns:a="urn:a" xmlns:b="urn:b"><!-- x -->
            <a:i a:z="1" y="2" b:x='3'>
                <b:n>1 &lt; 2 &amp; 3</b:n>
                <e></e>
            </a:i>
            <a:i/>
        </o>"#;
    let two = r#"<o xmlns:unused="urn:c"><n7:i xmlns:n7="urn:a" n3:x="3" xmlns:n3="urn:b" y="2" n7:z="1"
        ><n xmlns="urn:b">1 <![CDATA[< 2 &]]> &#51;</n><?pi?><e/></n7:i><i xmlns="urn:a"></i></o>"#;
    let (one, two) = (split(one, &options(1024)), split(two, &options(1024)));
    assert_eq!(
        outline(&one),
        [
            "/o: <o><?cut i 2?></o>",
            "/o/i[1]: <i xmlns=\"urn:a\" xmlns:n1=\"urn:a\" xmlns:n2=\"urn:b\" y=\"2\" n1:z=\"1\" n2:x=\"3\">\
             <n2:n>1 &lt; 2 &amp; 3</n2:n><e xmlns=\"\"/></i>",
            "/o/i[2]: <i xmlns=\"urn:a\"/>",
        ]
    );
    assert_eq!(outline(&one), outline(&two));
    let keys = |split: &super::Split| split.jobs.iter().map(|(job, _)| job.dedup_key).collect::<Vec<_>>();
    assert_eq!(keys(&one), keys(&two));
}

#[test]
fn content_does_matter() {
    let base = "<o><i a='1'><n>x</n></i><i><n/></i></o>";
    let key = |document: &str| split(document, &options(1024)).jobs[1].0.dedup_key;
    for other in [
        "<o><i a='2'><n>x</n></i><i><n/></i></o>",
        "<o><i a='1'><n>x </n></i><i><n/></i></o>",
        "<o><i a='1'><n xmlns='u'>x</n></i><i><n/></i></o>",
        "<o xmlns='u'><i a='1'><n>x</n></i><i><n/></i></o>",
        "<o><i a='1'><m>x</m></i><i><n/></i></o>",
    ] {
        assert_ne!(key(base), key(other), "{other}");
    }
}

#[test]
fn white_space_counts_in_running_text_only() {
    let document = "<o> <p>a <b>c</b> <i>d</i>\n</p> <q>\n <b/> <b/> </q> <r> </r> <s xml:space='preserve'> <t> </t></s> </o>";
    let split = split(document, &options(1024));
    assert_eq!(
        outline(&split),
        ["/o: <o><p>a <b>c</b> <i>d</i>\n</p><q><b/><b/></q><r/><s xml:space=\"preserve\"> <t> </t></s></o>"]
    );
}

#[test]
fn line_ends_and_references_are_what_xml_says() {
    let document = "<o a='x&#10;y\r\nz\tw'>1\r\n2\r3&#13;4&quot;&apos;&gt;</o>";
    let split = split(document, &options(1024));
    assert_eq!(outline(&split), ["/o: <o a=\"x&#xA;y z w\">1\n2\n3&#xD;4\"'&gt;</o>"]);
}

#[test]
fn every_encoding_gives_the_same_jobs() {
    let document = "<o><i><n>é€ß</n></i><i><n>2</n></i></o>";
    let expected = outline(&split(document, &options(1024)));
    let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        [0xFEFF].into_iter().chain(document.encode_utf16()).flat_map(bytes).collect()
    };
    let mut western = b"<?xml version=\"1.0\" encoding=\"windows-1252\"?>".to_vec();
    western.extend(document.chars().map(|char| match char {
        '€' => 0x80,
        char => u8::try_from(u32::from(char)).unwrap(),
    }));
    let marked = [b"\xEF\xBB\xBF", document.as_bytes()].concat();
    for bytes in [utf16(u16::to_le_bytes), utf16(u16::to_be_bytes), western, marked] {
        assert_eq!(outline(&split_as(&bytes, &options(1024), "builtin").unwrap()), expected);
    }
}

/// The built-in analyser also uses the context; a model sees the XML alone.
#[test]
fn context_is_part_of_the_key_for_the_builtin_analyser_only() {
    let with = "<o><p id='P1'><n/></p><i><pRef>P1</pRef></i><i><n/></i></o>";
    let without = "<o><p id='P2'><n/></p><i><pRef>P1</pRef></i><i><n/></i></o>";
    let key = |document: &str, analyser| {
        let split = split_as(document.as_bytes(), &options(1024), analyser).unwrap();
        split.jobs.iter().find(|(_, args)| args.xml.contains("pRef")).unwrap().0.dedup_key
    };
    assert_ne!(key(with, "builtin"), key(without, "builtin"));
    assert_eq!(key(with, "openai"), key(without, "openai"));
    assert_ne!(key(with, "openai"), key(with, "other"));
}
