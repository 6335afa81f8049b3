//! Lines over how many callbacks are held, as a picture.

use std::fmt::Write as _;

use super::grouped;

/// Lines over a logarithmic number of rows, from 0 up.
pub(super) fn plot(title: &str, rows: &[f64], lines: &[(&str, Vec<f64>)]) -> String {
    const COLOURS: [&str; 3] = ["#1d70b8", "#d4351c", "#00703c"];
    const DASHES: [&str; 3] = ["none", "6 3", "2 3"];
    let most = 1.15 * lines.iter().flat_map(|(_, values)| values).copied().fold(1e-9, f64::max);
    let (low, high) = (rows.first().map_or(0.0, |rows| rows.log10()), rows.last().map_or(1.0, |rows| rows.log10()));
    let x = |rows: f64| 70.0 + 540.0 * (rows.log10() - low) / (high - low).max(1e-9);
    let y = |value: f64| 300.0 - 240.0 * value / most;
    let height = 340 + 18 * lines.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 680 {height}\" role=\"img\" font-family=\"Helvetica, Arial, sans-serif\" \
         font-size=\"13\"><title>{title}</title><rect width=\"680\" height=\"{height}\" fill=\"#fff\"/>\
         <text x=\"70\" y=\"24\" font-weight=\"bold\">{title}</text>"
    );
    for step in 0..=4 {
        let value = most * f64::from(step) / 4.0;
        let label = if value >= 100.0 { grouped(value as u64) } else { format!("{value:.1}") };
        let _ = write!(
            svg,
            "<path d=\"M70 {0:.0}H610\" stroke=\"#b1b4b6\"/><text x=\"64\" y=\"{1:.0}\" text-anchor=\"end\">{label}</text>",
            y(value),
            y(value) + 4.0
        );
    }
    for held in rows {
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"320\" text-anchor=\"middle\">{}</text>",
            x(*held),
            grouped(*held as u64)
        );
    }
    for (place, (name, values)) in lines.iter().enumerate() {
        let points: Vec<String> =
            rows.iter().zip(values).map(|(rows, value)| format!("{:.0},{:.0}", x(*rows), y(*value))).collect();
        let (colour, dashes) = (COLOURS[place % 3], DASHES[place % 3]);
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>\
             <text x=\"70\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            346 + 18 * place
        );
    }
    svg + "</svg>\n"
}
