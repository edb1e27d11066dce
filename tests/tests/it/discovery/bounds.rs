//! No job is larger than allowed, unless it cannot be split.

use fleetline_shared::domain::NodeShape;

use super::reassemble::assert_reassembles;
use super::{concat, options, split};

#[test]
fn many_small_children_go_in_parts() {
    let children = concat(3_000, |n| format!("<p{n}>value {n}</p{n}>"));
    let document = format!("<o a='1'><props b='2'>{children}</props><end/></o>");
    let split = split(&document, &options(4_096));
    assert!(split.jobs.iter().all(|(_, args)| args.xml.len() <= 4_096));
    let total: usize = split.jobs.iter().map(|(_, args)| args.xml.len()).sum();
    assert!(split.jobs.len() <= 2 + total / 4_000, "parts are filled: {} jobs", split.jobs.len());
    let second = &split.jobs[1].1;
    assert!(second.xml.starts_with("<props><?continued?><p"), "{}", &second.xml[..40]);
    assert!(second.xml.ends_with("<?continues?></props>"));
    assert_eq!(second.ancestors[1].attributes["b"], "2");
    assert_reassembles(&document, &split);
}

#[test]
fn a_part_that_outlives_its_container_goes_on_above() {
    let rows = |name: &str| concat(8, |n| format!("<{name}>{n:010}</{name}>"));
    let document = format!("<o><a x='1'><b y='1'>{}</b>t</a><a><c>{}</c></a></o>", rows("r"), rows("s"));
    for size in (60..400).step_by(7) {
        let options =
            fleetline_producer::discovery::DiscoveryOptions { automatic: Some(false), ..options(size) };
        assert_reassembles(&document, &split(&document, &options));
    }
}

#[test]
fn a_huge_text_is_a_job_of_its_own() {
    let huge = "x".repeat(5_000);
    let document = format!("<o><a>1</a><b c='d'>{huge}</b><a>2</a><m>{huge}<i/>tail</m></o>");
    let split = split(&document, &options(1_000));
    let oversize: Vec<_> = split.jobs.iter().filter(|(_, args)| args.xml.len() > 1_000).collect();
    assert_eq!(oversize.len(), 2);
    assert_eq!(oversize[0].1.shape, NodeShape::Oversize);
    assert_eq!(oversize[0].1.path, "/o/b");
    assert!(oversize[1].1.xml.starts_with("<m><?continued?>xxx"), "text beside children is a part alone");
    assert_reassembles(&document, &split);
}

#[test]
fn depth_costs_no_more_than_its_tags() {
    let depth = 200;
    let document = format!("{}<x>1</x><x>2</x>{}", "<e>".repeat(depth), "</e>".repeat(depth));
    for size in [50, 500, 5_000] {
        assert_reassembles(&document, &split(&document, &options(size)));
    }
}
