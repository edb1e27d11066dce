//! What a job is told of the rest of the document.

use fleetline_shared::domain::{KnownId, NodeContext, UsualPart};

use super::{Split, options, shared, split};

fn context<'a>(split: &'a Split, path: &str) -> &'a NodeContext {
    &split.jobs.iter().find(|(_, args)| args.path.ends_with(path)).unwrap().1.context
}

fn ids(context: &NodeContext) -> Vec<String> {
    context.known_ids.iter().map(|KnownId { value, kind }| format!("{kind} {value}")).collect()
}

#[test]
fn references_resolve_by_attribute_and_by_child() {
    let document = "<o>
        <ps><p pID='P1'><n>1</n></p><p pID='P2'><n>2</n></p></ps>
        <ss><s><sID>S-1</sID><t/></s><s><sID>S-2</sID><t/></s></ss>
        <is>
            <i id='I1' pRefs='P1 P2'><sRefID>S-2</sRefID><other>I1</other></i>
            <i id='I2'><pRef>P9</pRef><owner>P2</owner><word>S</word></i>
        </is></o>";
    let split = split(document, &options(1024));
    assert_eq!(ids(context(&split, "i[1]")), ["p P1", "p P2", "s S-2"]);
    assert_eq!(ids(context(&split, "i[2]")), [""; 0], "unknown, too short, or no reference");
    assert_eq!(ids(context(&split, "p[1]")), [""; 0], "its own id is no reference");
}

#[test]
fn what_most_have_and_one_lacks_is_told() {
    let full = "<i a='1'><n>x</n><m><d/></m></i>";
    let document = format!("<o>{}<i><n/><m/></i><i a='2'><m><d/></m></i></o>", full.repeat(3));
    let split = split(&document, &options(1024));
    let usual = |of: &str, name: &str| UsualPart { of: of.into(), name: name.into(), percent: 80 };
    assert_eq!(context(&split, "i[1]").usual_parts, []);
    assert_eq!(context(&split, "i[4]").usual_parts, [usual("m", "d"), usual(".", "@a")]);
    assert_eq!(context(&split, "i[5]").usual_parts, [usual(".", "n")]);
}

#[test]
fn the_order_resolves_its_references() {
    let Some(bytes) = shared("order-book.xml") else { return };
    let split = split(&String::from_utf8(bytes).unwrap(), &options(20 * 1024));
    assert_eq!(
        ids(context(&split, "/OrderItem[1]")),
        [
            "Passenger PAX1",
            "FlightSegment SEG145c1db846840000348be6e6_0",
            "FlightSegment SEG1db8145c46870000f4b87c48_0",
            "Passenger PAX2",
            "ServiceDefinition SD1",
        ]
    );
    assert_eq!(ids(context(&split, "/Passenger[1]")), ["ContactInformation CTC1"]);
    assert_eq!(ids(context(&split, "/Flight[2]")), ["FlightSegment SEG1db8145c46870000f4b87c48_0"]);
}

#[test]
fn the_offers_resolve_their_references() {
    let Some(bytes) = shared("air-shopping-1adt.xml") else { return };
    let split = split(&String::from_utf8(bytes).unwrap(), &options(20 * 1024));
    let offer = context(&split, "/Offer[1]");
    for kind in ["BaggageAllowance", "PaxSegment", "PaxJourney", "ValidatingParty", "Pax"] {
        assert!(offer.known_ids.iter().any(|id| id.kind == kind), "{kind}: {:?}", ids(offer));
    }
}
