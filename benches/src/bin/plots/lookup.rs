//! What a lookup takes, against the number of servers.

use std::error::Error;
use std::path::Path;

use equipoise_benches::hash::record::Record;
use equipoise_benches::hash::subject::{Scope, Side, Structure};
use equipoise_benches::ours::Weights;
use plotters::prelude::*;

use super::labels::column;
use super::style::{FONT, INK, LABEL, PALE, colour, legend, mark, text, thousands};

const SIZE: (u32, u32) = (1_100, 720);
const LARGEST: f64 = 10_000.0;

/// Rows that are variants of others, and would cover them.
const HIDDEN: [&str; 6] = [
    "maglev 65537 slots",
    "rendezvous table quota 5 %",
    "anchor",
    "memento one in eleven gone",
    "anchorhash room 2 n",
    "pingora-ketama v2",
];

fn shown(record: &&Record) -> bool {
    record.weights == Weights::Equal
        && record.scope == Scope::All
        && record.side != Side::Floor
        && !HIDDEN.contains(&&*record.name)
}

/// A line: a row at all sizes.
struct Line<'a> {
    first: &'a Record,
    points: Vec<(f64, f64)>,
}

/// Draws the plot.
pub(crate) fn draw(records: &[Record], file: &Path) -> Result<(), Box<dyn Error>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for record in records.iter().filter(shown) {
        let Some(lookup) = record.lookup else { continue };
        let point = (record.servers as f64, lookup.median);
        match lines.iter_mut().find(|line| line.first.name == record.name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { first: record, points: vec![point] }),
        }
    }

    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "A lookup against the number of servers (ours with foldhash, others as they come)",
            (FONT, 20).into_font().color(&INK),
        )
        .margin(16)
        .margin_right(300)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d((10.0..LARGEST).log_scale(), (2.0..500_000.0).log_scale())?;
    chart
        .configure_mesh()
        .bold_line_style(PALE)
        .light_line_style(WHITE)
        .axis_style(INK)
        .label_style((FONT, LABEL.0).into_font().color(&INK))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .x_desc("servers")
        .y_desc("a lookup, with hashing a key of 16 bytes")
        .x_label_formatter(&|servers| thousands(*servers))
        .y_label_formatter(&|nanos| time(*nanos))
        .draw()?;

    let mut ends = Vec::new();
    for line in &lines {
        let pixels: Vec<_> = line.points.iter().map(|point| chart.backend_coord(point)).collect();
        let ours = line.first.side == Side::Ours;
        let style = colour(line.first.structure).stroke_width(if ours { 3 } else { 1 });
        area.draw(&PathElement::new(pixels.clone(), style))?;
        for &at in &pixels {
            mark(&area, at, line.first.side, line.first.structure)?;
        }
        ends.extend(pixels.last().copied());
    }
    let right = chart.backend_coord(&(LARGEST, 2.0)).0;
    let (top, bottom) =
        (chart.backend_coord(&(10.0, 500e3)).1, chart.backend_coord(&(10.0, 2.0)).1);
    let heights = column(&ends.iter().map(|end| end.1).collect::<Vec<_>>(), top + 8, bottom - 8);
    for ((line, &end), &height) in lines.iter().zip(&ends).zip(&heights) {
        let pale = RGBColor(0xaa, 0xaa, 0xaa);
        area.draw(&PathElement::new(vec![(end.0 + 7, end.1), (right + 26, height)], pale))?;
        mark(&area, (right + 34, height), line.first.side, line.first.structure)?;
        let Some(&(servers, nanos)) = line.points.last() else { continue };
        let mut label = format!("{}  {}", line.first.name, time(nanos));
        if servers < LARGEST {
            label += &format!(" at {}", thousands(servers));
        }
        text(&area, (right + 46, height), &label, LABEL.0)?;
    }
    let structures = [
        Structure::RendezvousTable,
        Structure::Maglev,
        Structure::Rendezvous,
        Structure::Ring,
        Structure::MultiProbe,
        Structure::Anchor,
        Structure::Memento,
        Structure::Jump,
    ];
    legend(&area, (chart.backend_coord(&(10.0, 2.0)).0 + 12, top + 10), &structures)?;
    area.present()?;
    Ok(())
}

fn time(nanos: f64) -> String {
    let digits = |number: f64| {
        if number < 10.0 && number.fract() != 0.0 {
            format!("{number:.1}")
        } else {
            format!("{number:.0}")
        }
    };
    if nanos < 1_000.0 {
        format!("{} ns", digits(nanos))
    } else {
        format!("{} µs", digits(nanos / 1e3))
    }
}
