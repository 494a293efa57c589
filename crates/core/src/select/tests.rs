//! The grammar over a small graph: `a → b → c → e`, `b → d`; `b` also writes `b_rejects`, `d` is tagged.

use super::*;
use crate::{AssetDecl, ColumnDecl, InputDecl, Kind, OutputDecl};

fn name(text: &str) -> AssetName {
    AssetName::new(text).expect("a valid name")
}

fn output(text: &str, columns: &[&str]) -> OutputDecl {
    let columns = columns.iter().map(|column| ColumnDecl::new(column, Kind::Float, "", "")).collect();
    OutputDecl::new(name(text), columns)
}

fn graph() -> Graph {
    let reads = |decl: AssetDecl, input| decl.reads(InputDecl::all(name(input)));
    let plain = |text| AssetDecl::new(output(text, &["time", "value"]), "1");
    Graph::new(vec![
        plain("a").tagged(&["table", "stage=raw"]),
        reads(plain("b"), "a").also(output("b_rejects", &["code"])).tagged(&["table", "stage=kept"]),
        reads(AssetDecl::new(output("c", &["vx_1", "vx_2"]), "1"), "b"),
        reads(plain("d").tagged(&["summary"]), "b"),
        reads(plain("e"), "c"),
    ])
    .expect("a valid graph")
}

fn selected(text: &str) -> String {
    match Selection::new(&graph(), &[text]) {
        Ok(selection) => selection.assets(&graph()).iter().map(AssetName::as_str).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn assets_with_what_is_around_them() {
    let cases = [
        ("c", "c"),
        ("+c", "a b c"),
        ("b+", "b c d e"),
        ("1+c+1", "b c e"),
        ("1 + c + 1", "b c e"),
        ("99999999999999999999999+c", "a b c"),
        ("0+c+0", "c"),
        ("b_rejects", "b"),
        ("*", "a b c d e"),
        ("+c+", "a b c e"),
    ];
    for (text, expected) in cases {
        assert_eq!(selected(text), expected, "{text}");
    }
}

#[test]
fn filters() {
    let cases = [
        ("key:c", "c"),
        ("key:\"b*\"", "b"),
        ("key:'*rejects'", "b"),
        ("\"b*ject*\"", "b"),
        ("key:*", "a b c d e"),
        ("tag:table", "a b"),
        ("tag:stage", "a b"),
        ("tag:stage=raw", "a"),
        ("tag:\"stage\"=\"k*\"", "b"),
        ("column:vx_1", "c"),
        ("column:c.v*", "c"),
        ("column:*.value", "a b d e"),
        ("column:b_rejects.*", "b"),
    ];
    for (text, expected) in cases {
        assert_eq!(selected(text), expected, "{text}");
    }
}

#[test]
fn operators_bind_as_in_dagster() {
    let cases = [
        ("a or b and c", "a"),
        ("(a or b) and b", "b"),
        ("not a and not b", "c d e"),
        ("not (a or b)", "c d e"),
        ("not not a", "a"),
        ("a OR d", "a d"),
        ("NOT a AND b+", "b c d e"),
        ("+(c or d)", "a b c d"),
        ("(c or d)+1", "c d e"),
        ("b+ and +c", "b c"),
        ("sinks(*)", "d e"),
        ("roots(*)", "a"),
        ("sinks(a or e)", "e"),
        ("roots(c or d or e)", "c d"),
        ("sinks(+c)+", "c e"),
        ("1+sinks(*)", "b c d e"),
    ];
    for (text, expected) in cases {
        assert_eq!(selected(text), expected, "{text}");
    }
}

#[test]
fn errors_point_at_their_place() {
    let cases = [
        ("", 1, "empty"),
        ("   ", 1, "empty"),
        ("a and", 6, "should stand here"),
        ("a and and b", 7, "should stand here"),
        ("+", 2, "should stand here"),
        ("a b", 3, "`and` or `or`"),
        ("a+b", 3, "`and` or `or`"),
        ("++a", 2, "should stand here"),
        ("(a or b", 1, "never closed"),
        ("a or (b", 6, "never closed"),
        ("(a b)", 4, "`and` or `or`"),
        ("a)", 2, "closes nothing"),
        (")", 1, "closes nothing"),
        ("key:\"a", 5, "never closed"),
        ("ä or \"a", 6, "never closed"),
        ("a & b", 3, "`&` has no meaning"),
        ("key:", 5, "needs a value"),
        ("tag:stage=", 11, "needs a value"),
        ("leaves(a)", 1, "no function `leaves`"),
        ("kye:a", 1, "did you mean `key`?"),
        ("a or tag:tabel", 10, "did you mean `table`?"),
        ("a or column:vx_11", 13, "did you mean `vx_1`?"),
        ("column:a.vx_1", 8, "no output has a column"),
        ("stale:mayby", 7, "did you mean `maybe`?"),
        ("failed:fresh", 8, "failed, blocked"),
        ("stale: maybe", 8, "`and` or `or`"),
        ("+not a", 2, "should stand here"),
    ];
    for (text, column, message) in cases {
        let error = Selection::new(&graph(), &[text]).expect_err(text);
        let place = error.place().expect(text);
        assert_eq!((place.column, place.text.as_str()), (column, text), "{error}");
        assert!(error.to_string().contains(message), "{text}: {error}");
    }
    let unknown = Selection::new(&graph(), &["a or b_reject"]).expect_err("unknown");
    assert_eq!(unknown.place().map(|place| place.column), Some(6));
    assert_eq!(unknown.to_string(), "there is no asset `b_reject`; did you mean `b_rejects`?");
    let alone = Selection::new(&graph(), &["b_reject"]).expect_err("unknown");
    assert_eq!(alone.place(), None, "a single name needs no place");
}

#[test]
fn states_select_steps() {
    let text = "stale: and not d or failed:blocked";
    let selection = Selection::new(&graph(), &[text]).expect(text);
    assert!(selection.needs_states());
    assert_eq!(selected(text), "a b c d e", "any step may be blocked");
    assert_eq!(selected("stale: and not d"), "a b c e");
    assert_eq!(selected("not stale: and c"), "c");
    assert_eq!(selected("sinks(stale:) and +c"), "a b c");
    let states = [State::Fresh, State::Stale, State::Maybe, State::Stale, State::Blocked];
    let chosen = |text: &str| {
        let mut nodes = Nodes::default();
        for (asset, state) in graph().order().iter().zip(states) {
            let parents = graph().parents(asset.as_str());
            let parents = parents.iter().filter_map(|p| graph().order().iter().position(|name| name == p)).collect();
            nodes.add(asset, Some(state), parents);
        }
        let selection = Selection::new(&graph(), &[text]).expect(text);
        let order = graph().order().to_vec();
        let chosen = order.iter().zip(selection.steps(&nodes)).filter(|(_, chosen)| *chosen);
        chosen.map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ")
    };
    let cases = [
        ("stale:", "b c d"),
        ("stale:maybe", "c"),
        ("stale:*", "b c d"),
        ("failed:", "e"),
        ("failed:failed", ""),
        ("stale: and tag:table", "b"),
        ("not stale: and not failed:", "a"),
        ("sinks(stale:)", "c d"),
        ("roots(stale:)", "b"),
        ("stale:maybe+", "c e"),
        ("1+stale:maybe", "b c"),
        (text, "b c e"),
    ];
    for (text, expected) in cases {
        assert_eq!(chosen(text), expected, "{text}");
    }
}

#[test]
fn several_texts_are_any_of_them_and_none_is_all() {
    let both = Selection::new(&graph(), &["a and b", "c"]).expect("valid");
    assert_eq!(both.assets(&graph()), [name("c")]);
    assert_eq!(Selection::new::<&str>(&graph(), &[]).expect("valid"), Selection::all());
}

#[test]
fn hostile_text_is_an_error_and_not_the_end() {
    let graph = graph();
    let deep = ["(".repeat(100_000), "not ".repeat(100_000), "sinks(".repeat(100_000)];
    for text in &deep {
        let error = Selection::new(&graph, &[text]).expect_err("too deep");
        assert!(matches!(error, SelectError::Malformed { problem: Problem::TooDeep { .. }, .. }));
    }
    let wide = vec!["a"; 100_000].join(" or ");
    assert_eq!(Selection::new(&graph, &[wide]).expect("long, not deep").assets(&graph), [name("a")]);
    let words = ["a", "b*", "+", "(", ")", " and ", " or ", "not ", "key:", "tag:", "=", "\"", "3", "sinks(", "stale:"];
    let mut state = 7_u64;
    let mut random = |below: usize| {
        // Knuth's linear congruential generator; its high bits are good enough here.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut understood = 0;
    for i in 0..10_000 {
        let length = random(40);
        let text: String = if i % 2 == 0 {
            let bytes: Vec<u8> = (0..length).map(|_| random(256) as u8).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        } else {
            (0..length / 3).map(|_| words[random(words.len())]).collect()
        };
        if let Ok(selection) = Selection::new(&graph, &[&text]) {
            selection.assets(&graph);
            understood += 1;
        }
    }
    assert!(understood > 50, "{understood} of the random texts are selections");
}
