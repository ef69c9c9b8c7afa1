//! Reading XML that anyone on the network may have written.

use roxmltree::{Document, Node, ParsingOptions};

/// The longest document that is read, in bytes.
pub(super) const LONGEST: usize = 1 << 20;
/// Elements, attributes and texts that a document may have.
const MOST_NODES: u32 = 50_000;
/// The longest text that is taken from a document, in characters.
const LONGEST_TEXT: usize = 512;

/// Reads a document; no document types, so no entities either.
///
/// # Errors
/// In words, when it is too long, too deep or no XML.
pub(super) fn parse(bytes: &[u8]) -> Result<Document<'_>, String> {
    if bytes.len() > LONGEST {
        return Err("its answer is too long".to_owned());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "its answer is not UTF-8".to_owned())?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let text = text.trim_start_matches('\u{feff}');
    Document::parse_with_options(text, options).map_err(|error| format!("its answer is no XML: {error}"))
}

/// The first element of this name inside, whatever its namespace: devices disagree about those.
pub(super) fn find<'a, 'd>(node: Node<'a, 'd>, name: &str) -> Option<Node<'a, 'd>> {
    all(node, name).next()
}

/// The elements of this name inside.
pub(super) fn all<'a, 'd: 'a>(node: Node<'a, 'd>, name: &str) -> impl Iterator<Item = Node<'a, 'd>> {
    node.descendants().skip(1).filter(move |inner| inner.is_element() && inner.tag_name().name() == name)
}

/// What the first element of this name inside says, in one line without control characters.
pub(super) fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    find(node, name).map(own_text).filter(|text| !text.is_empty())
}

/// What an element says, in one line without control characters.
pub(super) fn own_text(node: Node<'_, '_>) -> String {
    plain(node.text().unwrap_or_default())
}

/// A text in one line without control characters, which terminals would obey.
pub(super) fn plain(text: &str) -> String {
    let shown = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.take(LONGEST_TEXT).collect()
}

/// The number that the first element of this name inside says.
pub(super) fn number<T: std::str::FromStr>(node: Node<'_, '_>, name: &str) -> Option<T> {
    text(node, name)?.parse().ok()
}
