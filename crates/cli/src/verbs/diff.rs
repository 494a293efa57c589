//! `assets diff`: what differs between two versions of one table, and why.

use crate::app::{App, Failure};
use crate::args::{DiffArgs, Global};
use crate::out::Out;
pub(crate) fn run(_: &dyn App, _: &Out, _: &Global, _: &DiffArgs) -> Result<u8, Failure> {
    Ok(0)
}
