//! `assets pin`: keeps the tables of now by a name, lists what is kept, or lets it go.

use crate::app::{App, Failure, Pin, Project};
use crate::args::{Global, PinArgs};
use crate::out::Out;
use crate::render::number;
use crate::session::{self, Session};
use assets_core::key::is_plain_name;
use assets_core::{Reason, suggest};
use serde_json::json;

pub(crate) fn run(app: &dyn App, out: &Out, global: &Global, args: &PinArgs) -> Result<u8, Failure> {
    match &args.name {
        None => list(out, app.open(&session::open_options(global))?.as_ref()),
        Some(name) if args.remove => remove(out, app.open(&session::open_options(global))?.as_ref(), name),
        Some(name) => pin(app, out, global, args, name),
    }
}

fn list(out: &Out, project: &dyn Project) -> Result<u8, Failure> {
    let reader = project.reader()?;
    let pins = project.pins()?;
    let bytes = |pin: &Pin| pin.objects.iter().filter_map(|object| reader.tables().bytes(object)).sum::<u64>();
    let lost = |pin: &Pin| pin.objects.iter().filter(|object| !reader.tables().contains(object)).count();
    if out.json {
        let pins = pins
            .iter()
            .map(|(name, pin)| json!({"name": name, "steps": pin.steps, "bytes": bytes(pin), "lost": lost(pin)}));
        out.json(&json!({"pins": pins.collect::<Vec<_>>()}));
        return Ok(0);
    }
    for (name, pin) in &pins {
        let (steps, bytes) = (number::plural(pin.steps, "step"), number::bytes(bytes(pin)));
        let lost = match lost(pin) {
            0 => String::new(),
            lost => format!("  ({lost} not there any more)"),
        };
        out.line(&format!("{name:<24} {steps:>14} {bytes:>10}{lost}"));
    }
    if pins.is_empty() {
        out.line("nothing is pinned");
        out.hint("`assets pin NAME` keeps the tables of now, whatever is made later");
    }
    Ok(0)
}

fn remove(out: &Out, project: &dyn Project, name: &str) -> Result<u8, Failure> {
    let pins = project.pins()?;
    if !pins.contains_key(name) {
        let hint = suggest::hint(name, pins.keys().map(String::as_str));
        let reason = Reason::new("unknown_pin", format!("nothing is pinned as `{}`{hint}", name.escape_debug()));
        return Err(Failure::usage(reason).help("`assets pin` lists what is"));
    }
    let store = project.writer(true, &mut |holder| out.error(&format!("waiting for {holder}")))?;
    store.unpin(name)?;
    told(out, name, None);
    Ok(0)
}

fn pin(app: &dyn App, out: &Out, global: &Global, args: &PinArgs, name: &str) -> Result<u8, Failure> {
    check_name(name)?;
    let (session, scope) = Session::recorded_scope(app, global, &args.scope)?;
    // From here on nothing is removed.
    let store = session.project.writer(true, &mut |holder| out.error(&format!("waiting for {holder}")))?;
    let steps = session.ledger.steps().filter(|(step, _)| scope.assets.contains(&step.asset) && scope.covers(step));
    let made = steps.filter_map(|(step, tip)| tip.made.as_ref().map(|(id, record)| (step, *id, record.as_ref())));
    let records: Vec<_> = made.filter(|(_, _, record)| !record.is_gone()).collect();
    if records.is_empty() {
        let reason = Reason::new("nothing_to_pin", "none of these steps has a table");
        return Err(Failure::usage(reason).help("`assets status` shows what there is"));
    }
    store.pin(name, &records)?;
    told(out, name, Some(records.len()));
    Ok(0)
}

fn check_name(name: &str) -> Result<(), Failure> {
    if is_plain_name(name) {
        return Ok(());
    }
    let message = "a pin's name has 1 to 80 letters, digits, `.`, `_` or `-`, and begins with a letter, a digit or `_`";
    Err(Failure::usage(Reason::new("bad_pin_name", message)))
}

fn told(out: &Out, name: &str, steps: Option<usize>) {
    if out.json {
        out.json(&json!({"name": name, "steps": steps.unwrap_or(0), "removed": steps.is_none()}));
        return;
    }
    match steps {
        Some(steps) => {
            out.line(&format!("pinned {} as {name}: `assets gc` keeps their tables", number::plural(steps, "step")))
        }
        None => out.line(&format!("{name} is not pinned any more")),
    }
}
