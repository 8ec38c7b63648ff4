//! Tables as kubectl prints them: columns two spaces apart, no borders.

use crate::terminal::Look;

/// Renders rows under a header. The last column is not padded.
pub(crate) fn render<const N: usize>(
    header: [&str; N],
    rows: &[[String; N]],
    look: Look,
) -> String {
    let mut widths = header.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    };
    let mut out = look.paint(super::text::STRONG, &line(header));
    out.push('\n');
    for row in rows {
        out.push_str(&line(row.each_ref().map(String::as_str)));
        out.push('\n');
    }
    out
}
