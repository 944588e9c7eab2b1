use proptest::prelude::*;

use super::*;

/// Sample size 2, both quorums 2: a poll is unanimous or unsuccessful.
fn parameters(beta: usize) -> Parameters {
    Parameters { k: 2, alpha_preference: 2, alpha_confidence: 2, beta, ..Parameters::DEFAULT }
}

fn tree(beta: usize, choices: &[Id]) -> Tree {
    let mut tree = Tree::new(Factory::Snowflake, &parameters(beta), choices[0]);
    for choice in &choices[1..] {
        tree.add(*choice);
    }
    tree
}

/// An ID with these bits set.
fn id(bits: &[usize]) -> Id {
    let mut id = Id::EMPTY;
    for bit in bits {
        id.0[bit / 8] |= 1 << (bit % 8);
    }
    id
}

fn votes(votes: &[Id]) -> Bag<Id> {
    votes.iter().copied().collect()
}

#[test]
fn one_choice_needs_beta_polls_in_a_row() {
    let only = id(&[]);
    let mut tree = tree(2, &[only]);
    assert!(tree.record_poll(&votes(&[only, only])));
    assert!(!tree.record_poll(&votes(&[only])));
    assert!(tree.record_poll(&votes(&[only, only])));
    tree.record_unsuccessful_poll();
    assert!(tree.record_poll(&votes(&[only, only])));
    assert!(!tree.finalized(), "each success was followed by a failure");
    assert!(tree.record_poll(&votes(&[only, only])));
    assert!(tree.finalized());
    tree.add(id(&[3]));
    assert_eq!(tree.to_string(), "SF(Confidence = [2], Finalized = true) Bits = [0, 256)");
}

#[test]
fn a_difference_in_the_last_bit_leaves_nothing_below_it() {
    let (zero, one) = (id(&[]), id(&[255]));
    let mut tree = tree(1, &[zero, one]);
    assert_eq!(
        tree.to_string(),
        "SF(Confidence = [0], Finalized = false) Bits = [0, 255)\n    \
         SF(Confidence = [0], Finalized = false, SL(Preference = 0)) Bit = 255"
    );
    assert!(tree.record_poll(&votes(&[one, one])));
    assert!(tree.finalized());
    assert_eq!(tree.preference(), one);
}

#[test]
fn a_difference_in_the_first_bit_has_nothing_above_it() {
    let tree = tree(1, &[id(&[0]), id(&[1])]);
    assert_eq!(
        tree.to_string(),
        "SF(Confidence = [0], Finalized = false, SL(Preference = 1)) Bit = 0\n    \
         SF(Confidence = [0], Finalized = false) Bits = [1, 256)\n    \
         SF(Confidence = [0], Finalized = false) Bits = [1, 256)"
    );
}

#[test]
fn a_split_vote_decides_the_common_prefix_against_a_third_choice() {
    let (red, green, blue) = (id(&[0]), id(&[1]), id(&[]));
    let mut tree = tree(2, &[red, green, blue]);
    assert_eq!(tree.preference(), red);
    assert!(tree.record_poll(&votes(&[green, blue])));
    assert_eq!(tree.preference(), green, "the first of those that were voted for together");
    assert!(tree.record_poll(&votes(&[green, blue])));
    assert_eq!(
        tree.to_string(),
        "SF(Confidence = [0], Finalized = false, SL(Preference = 1)) Bit = 1\n    \
         SF(Confidence = [0], Finalized = false) Bits = [2, 256)\n    \
         SF(Confidence = [0], Finalized = false) Bits = [2, 256)"
    );
    assert!(!tree.record_poll(&votes(&[red, red])), "red contradicts a decided bit");
    let drawing = tree.to_string();
    tree.add(red);
    tree.add(id(&[0, 7]));
    assert_eq!(tree.to_string(), drawing);
    for _ in 0..2 {
        assert!(!tree.finalized());
        assert!(tree.record_poll(&votes(&[blue, blue])));
    }
    assert!(tree.finalized());
    assert_eq!(tree.preference(), blue);
}

#[test]
fn a_failure_above_resets_what_was_not_polled_then() {
    let (a, b, c) = (id(&[]), id(&[1]), id(&[0]));
    let mut tree = tree(3, &[a, b, c]);
    assert!(tree.record_poll(&votes(&[a, a])));
    assert!(tree.record_poll(&votes(&[a, a])));
    assert!(tree.record_poll(&votes(&[c, c])), "takes the preference from bit 0 on");
    assert!(tree.record_poll(&votes(&[a, b])), "bit 0 gains, bit 1 fails");
    for _ in 0..2 {
        assert!(tree.record_poll(&votes(&[a, a])));
    }
    assert!(!tree.finalized(), "bit 0 is decided, bit 1 was reset");
    assert!(tree.record_poll(&votes(&[a, a])));
    assert!(tree.finalized());
}

#[test]
fn what_is_voted_for_need_not_be_a_choice() {
    let (a, stranger) = (id(&[]), id(&[9]));
    let mut tree = tree(1, &[a]);
    assert!(tree.record_poll(&votes(&[stranger, a])));
    assert!(tree.finalized());
    assert_eq!(tree.preference(), a);
}

#[test]
fn choices_added_twice_take_no_room() {
    let (a, b) = (id(&[]), id(&[9]));
    let mut tree = tree(1, &[a, b]);
    let drawing = tree.to_string();
    for choice in [a, b, a] {
        tree.add(choice);
    }
    assert_eq!(tree.ids.len(), 2);
    assert_eq!(tree.to_string(), drawing);
}

/// The bits of each node, indented as drawn.
fn shape(tree: &Tree) -> Vec<(usize, String)> {
    let drawing = tree.to_string();
    let lines = drawing.lines().map(|line| {
        let (_, bits) = line.split_once("Bit").unwrap();
        (line.len() - line.trim_start().len(), bits.to_owned())
    });
    lines.collect()
}

/// IDs that share many bits.
fn close_ids() -> impl Strategy<Value = Vec<Id>> {
    let bits =
        prop::collection::vec(prop::sample::select(vec![0, 1, 2, 7, 8, 100, 254, 255]), 0..4);
    prop::collection::vec(bits.prop_map(|bits| id(&bits)), 1..8)
}

proptest! {
    #[test]
    fn the_shape_does_not_depend_on_the_order_of_adding(choices in close_ids()) {
        let mut reversed = choices.clone();
        reversed.reverse();
        prop_assert_eq!(shape(&tree(1, &choices)), shape(&tree(1, &reversed)));
    }

    #[test]
    fn what_is_final_stays_and_was_a_choice(
        choices in close_ids(),
        polls in prop::collection::vec((0..8_usize, 0..8_usize), 0..40),
        snowball: bool,
    ) {
        let factory = if snowball { Factory::Snowball } else { Factory::Snowflake };
        let mut tree = Tree::new(factory, &parameters(3), choices[0]);
        for choice in &choices[1..] {
            tree.add(*choice);
        }
        let mut last = None;
        for (a, b) in polls {
            tree.record_poll(&votes(&[choices[a % choices.len()], choices[b % choices.len()]]));
            let preference = tree.preference();
            prop_assert!(choices.contains(&preference));
            prop_assert!(last.is_none_or(|last| tree.finalized() && last == preference));
            last = tree.finalized().then_some(preference);
        }
        if tree.finalized() {
            prop_assert_eq!(tree.to_string().lines().count(), 1, "nothing is left to decide");
        }
    }
}
