//! The account as one screen of text.

use super::{Account, Clock};
use continuity_api::timeline::TimelineEntry;

/// `12:04:32  BackendIsolated 10.244.2.7:8080 (checkout-5d9f-x7k, node-2): answers in 512 ms …; taken out of rotation …`
pub(super) fn line(entry: &TimelineEntry, clock: &Clock) -> String {
    let at = crate::number::moment(entry.at.0, clock.now, &clock.zone);
    let mut line = format!("{at}  {}", entry.what);
    if !entry.subject.is_empty() {
        line.push_str(&format!(" {}", entry.subject));
    }
    if !entry.cause.is_empty() {
        line.push_str(&format!(": {}", entry.cause));
    }
    if !entry.action.is_empty() {
        line.push_str(&format!(" – {}", entry.action));
    }
    line
}

/// Name of a row and its lines, each below the other.
pub(super) fn row(text: &mut String, name: &str, lines: &[String]) {
    for (index, line) in lines.iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        text.push_str(&format!("  {name:<6} {line}\n"));
    }
}

/// All accounts, a blank line between two.
#[must_use]
pub fn text(accounts: &Vec<Account>) -> String {
    let mut text = String::new();
    for account in accounts {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&account.headline);
        text.push('\n');
        row(&mut text, "past", &account.past);
        row(&mut text, "why", &account.why);
        row(&mut text, "did", &account.did);
        row(&mut text, "now", &account.now);
        row(&mut text, "next", &account.next);
        row(&mut text, "you", &account.you);
        row(&mut text, "note", &account.note);
    }
    text
}
