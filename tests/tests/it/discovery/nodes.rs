//! Which elements become nodes, and what the rest looks like.

use fleetline_producer::discovery::{DiscoveryOptions, NodeRule};
use fleetline_shared::domain::NodeShape;

use super::reassemble::assert_reassembles;
use super::{concat, options, outline, split};

fn rule(pattern: &str, enabled: bool, name: Option<&str>) -> NodeRule {
    NodeRule { pattern: pattern.parse().unwrap(), enabled, name: name.map(Into::into) }
}

#[test]
fn repeated_siblings_are_nodes_and_the_rest_is_one_skeleton() {
    let document =
        "<o v='1'><head><t>x</t></head><is><i><n/><n/></i><i><n/></i></is><r>1</r><r>2</r><tail/></o>";
    assert_eq!(
        outline(&split(document, &options(1024))),
        [
            "/o: <o v=\"1\"><head><t>x</t></head><is><?cut i 2?></is><r>1</r><r>2</r><tail/></o>",
            "/o/is/i[1]: <i><n/><n/></i>",
            "/o/is/i[2]: <i><n/></i>",
        ]
    );
}

#[test]
fn the_one_item_of_a_list_is_a_node() {
    let document = "<o><PaxList><Pax><n>1</n></Pax></PaxList><Address><Street>x</Street></Address></o>";
    let jobs = outline(&split(document, &options(1024)));
    assert_eq!(jobs[1..], ["/o/PaxList/Pax: <Pax><n>1</n></Pax>"]);
}

#[test]
fn pieces_of_running_text_are_not_nodes() {
    let document = "<o><p>see <a href='1' x='2'>one</a> and <a href='3' x='4'>two</a></p></o>";
    assert_eq!(outline(&split(document, &options(1024))).len(), 1);
}

#[test]
fn positions_and_text_between_cut_children_stay() {
    let document = "<o>one<i><n>1</n></i>two<i><n>2</n></i></o>";
    let node = vec![rule("/o/i", true, None)];
    let split = split(document, &DiscoveryOptions { node, ..options(1024) });
    assert_eq!(split.jobs[0].1.xml, "<o>one<?cut i 1?>two<?cut i 1?></o>");
    assert_reassembles(document, &split);
}

#[test]
fn a_large_node_is_split_again() {
    let inner = concat(9, |n| format!("<s><k>{n}</k><v>{}</v></s>", "y".repeat(20)));
    let document = format!("<o><i id='1'><a>1</a>{inner}<b>2</b></i><i id='2'><s><k/></s></i></o>");
    let split = split(&document, &options(200));
    let jobs = outline(&split);
    assert_eq!(jobs[1], "/o/i[1]: <i id=\"1\"><a>1</a><?cut s 9?><b>2</b></i>");
    assert_eq!(jobs[2], format!("/o/i[1]/s[1]: <s><k>0</k><v>{}</v></s>", "y".repeat(20)));
    assert_eq!(jobs[11], "/o/i[2]: <i id=\"2\"><s><k/></s></i>");
    assert_eq!(split.jobs[1].1.shape, NodeShape::Split);
    assert_reassembles(&document, &split);
}

#[test]
fn configured_nodes_replace_the_automatic_ones() {
    let document = "<o><a><i><n/></i><i><n/></i></a><b><i><n/></i></b><c><d/></c></o>";
    let node =
        vec![rule("/o/b", false, Some("boring")), rule("/o/c", true, None), rule("/**/none", true, None)];
    let split = split(document, &DiscoveryOptions { node, ..options(1024) });
    assert_eq!(
        outline(&split),
        ["/o: <o><a><i><n/></i><i><n/></i></a><?skipped b 1?><?cut c 1?></o>", "/o/c: <c><d/></c>"]
    );
    let skipped = &split.report.skipped[0];
    assert_eq!((skipped.pattern.as_str(), skipped.nodes, skipped.elements), ("/o/b", 1, 3));
    assert_eq!(split.report.notes, ["node pattern /**/none decides nothing in this document"]);
    assert_reassembles(document, &split);
}

#[test]
fn a_disabled_node_alone_leaves_the_rest_automatic() {
    let document = "<o><i><n/></i><i><n/></i><x><y><z/></y></x></o>";
    let node = vec![rule("/o/x", false, None)];
    let split = split(document, &DiscoveryOptions { node, ..options(1024) });
    assert_eq!(outline(&split)[0], "/o: <o><?cut i 2?><?skipped x 1?></o>");
    assert_eq!(split.jobs.len(), 3);
    assert_eq!(split.report.elements_skipped, 3);
    assert_reassembles(document, &split);
}

#[test]
fn a_job_knows_its_place_and_its_cost() {
    let document = "<o a='1'><is b='2' xml:lang='de'><i><n/></i><i><n/></i></is></o>";
    let split = split(document, &options(1024));
    let (job, args) = &split.jobs[2];
    assert_eq!((args.path.as_str(), args.ordinal, job.seq), ("/o/is/i[2]", 3, Some(2)));
    let above: Vec<_> = args.ancestors.iter().map(|it| (it.name.as_str(), it.attributes.len())).collect();
    assert_eq!(above, [("o", 1), ("is", 2)]);
    assert_eq!(args.ancestors[1].attributes["xml:lang"], "de");
    assert_eq!(job.kind, "node.extract");
    assert_eq!(job.upstream, None, "the built-in analyser calls nobody");
    assert_eq!((job.estimate.input_tokens, job.estimate.output_tokens), (args.xml.len() as u64, 300));
    let paid = super::split_as(document.as_bytes(), &options(1024), "openai").unwrap();
    assert_eq!(paid.jobs[2].0.upstream.as_deref(), Some("openai"));
}

#[test]
fn the_tree_counts_all() {
    let document = "<o><a><b><i><n/></i><i><n/></i></b></a><x><y/></x></o>";
    let node = vec![rule("/o/x", false, Some("noise"))];
    let tree = split(document, &DiscoveryOptions { node, ..options(1024) }).report.tree;
    assert_eq!(
        tree.to_string(),
        "/o  skeleton: 1 job, 3 elements, 47 B, ~12 tokens\n\
         ├─ a/b/i  node: 2 jobs, 4 elements, 22 B, ~6 tokens\n\
         └─ x  disabled “noise”: 1 node, 2 elements\n"
    );
}
