//! The plots: costs over size on logarithmic axes, and bytes a row as bars.

use std::collections::BTreeSet;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::measure::Cost;
use crate::report::{Report, grouped, microseconds};
use crate::space::Space;
use crate::{Failure, agents, events};

const SIZE: (u32, u32) = (1_060, 620);
/// What of the width is left for the legend.
const LEGEND: u32 = 370;
const FONT: &str = "sans-serif";
/// The first seven are told apart by people who see few colours too (Okabe and Ito); from `FILLED` on the marks have a
/// hole.
const COLOURS: [RGBColor; 12] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(60, 60, 60),
    RGBColor(106, 61, 154),
    RGBColor(140, 81, 10),
    RGBColor(128, 128, 0),
    RGBColor(178, 24, 43),
    RGBColor(150, 150, 150),
];
const FILLED: usize = 6;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws every plot into a directory.
pub(crate) fn all(report: &Report, directory: &Path) -> Result<(), Failure> {
    for (subject, file) in [
        (events::SUBJECT, "growth-events.svg"),
        (agents::SUBJECT, "growth-agents.svg"),
    ] {
        let operations = report.operations(subject);
        costs(&directory.join(file), subject, &operations)?;
    }
    bytes(&directory.join("growth-bytes.svg"), &report.spaces)
}

fn costs(
    file: &Path,
    subject: &str,
    operations: &[(&'static str, Vec<&Cost>)],
) -> Result<(), Failure> {
    let every = || operations.iter().flat_map(|(_, costs)| costs.iter());
    let sizes: BTreeSet<u64> = every().map(|cost| cost.rows).collect();
    let (Some(least), Some(most)) = (sizes.first(), sizes.last()) else {
        return Ok(());
    };
    let low = every().map(|cost| cost.median).fold(f64::MAX, f64::min);
    let high = every().map(|cost| cost.median).fold(0.0, f64::max);

    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 - LEGEND);
    let mut chart = ChartBuilder::on(&left)
        .caption(
            format!("What an operation costs as {subject} grow (median)"),
            (FONT, 22),
        )
        .margin(14)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(
            (*least as f64 * 0.8..*most as f64 * 1.25)
                .log_scale()
                .with_key_points(sizes.iter().map(|size| *size as f64).collect()),
            (decade_below(low)..decade_above(high)).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(RGBColor(240, 240, 240))
        .bold_line_style(RGBColor(215, 215, 215))
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 16))
        .x_desc(subject)
        .y_desc("microseconds")
        .x_label_formatter(&|size| grouped(size.round() as u64))
        // Labels stand at powers of ten from 1 µs or so up.
        .y_label_formatter(&|cost| grouped(cost.round() as u64))
        .draw()?;

    // The legend stands in the order in which the lines end, the dearest first.
    let mut ordered: Vec<_> = operations.iter().enumerate().collect();
    ordered.sort_by(|(_, (_, one)), (_, (_, other))| {
        let end = |costs: &[&Cost]| costs.last().map_or(0.0, |cost| cost.median);
        end(other).total_cmp(&end(one))
    });
    for (place, (style, (operation, costs))) in ordered.into_iter().enumerate() {
        let colour = COLOURS[style % COLOURS.len()];
        let hollow = style >= FILLED;
        let points = costs.iter().map(|cost| (cost.rows as f64, cost.median));
        chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        chart.draw_series(points.map(|point| Circle::new(point, 5, colour.filled())))?;
        if hollow {
            let points = costs.iter().map(|cost| (cost.rows as f64, cost.median));
            chart.draw_series(points.map(|point| Circle::new(point, 3, WHITE.filled())))?;
        }
        legend(&right, place, colour, hollow, operation, costs)?;
    }
    root.present()?;
    Ok(())
}

fn legend(
    area: &Area<'_>,
    place: usize,
    colour: RGBColor,
    hollow: bool,
    operation: &str,
    costs: &[&Cost],
) -> Result<(), Failure> {
    let y = 62 + i32::try_from(place)? * 40;
    area.draw(&PathElement::new([(6, y), (40, y)], colour.stroke_width(2)))?;
    area.draw(&Circle::new((23, y), 5, colour.filled()))?;
    if hollow {
        area.draw(&Circle::new((23, y), 3, WHITE.filled()))?;
    }
    area.draw(&Text::new(operation.to_owned(), (48, y - 14), (FONT, 15)))?;
    let ends: Vec<String> = costs.iter().map(|cost| microseconds(cost.median)).collect();
    let numbers = format!("{} µs", ends.join(" → "));
    let grey = RGBColor(110, 110, 110);
    area.draw(&Text::new(
        numbers,
        (48, y + 4),
        (FONT, 13).into_font().color(&grey),
    ))?;
    Ok(())
}

fn decade_below(value: f64) -> f64 {
    10_f64.powf(value.log10().floor())
}

fn decade_above(value: f64) -> f64 {
    10_f64.powf(value.log10().ceil())
}

fn bytes(file: &Path, spaces: &[Space]) -> Result<(), Failure> {
    // Sizes of one kind of row stand side by side; the sort keeps their order.
    let mut spaces: Vec<&Space> = spaces.iter().collect();
    spaces.sort_by_key(|space| space.subject != events::SUBJECT);
    spaces.sort_by_key(|space| space.subject == agents::TRANSITIONS);
    let most = spaces
        .iter()
        .map(|space| space.a_row(space.total()))
        .fold(0.0, f64::max);
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let bars = spaces.len() as f64;
    let mut chart = ChartBuilder::on(&root)
        .caption("Bytes a row on disk", (FONT, 22))
        .margin(14)
        .x_label_area_size(60)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..bars, 0.0..most * 1.18)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(215, 215, 215))
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 16))
        .y_desc("bytes a row")
        .y_label_formatter(&|bytes| format!("{bytes:.0}"))
        .draw()?;

    type Part = (&'static str, RGBColor, fn(&Space) -> u64);
    let parts: [Part; 3] = [
        ("table", COLOURS[0], |space| space.table),
        ("indexes", COLOURS[5], |space| space.indexes),
        ("full-text index", COLOURS[2], |space| space.search),
    ];
    for (number, space) in spaces.iter().enumerate() {
        let x = number as f64;
        let mut floor = 0.0;
        for (_, colour, part) in parts.iter().filter(|(_, _, part)| part(space) > 0) {
            let top = floor + space.a_row(part(space));
            let bar = [(x + 0.15, floor), (x + 0.85, top)];
            chart.draw_series([Rectangle::new(bar, colour.filled())])?;
            floor = top;
        }
        let centre = chart.backend_coord(&(x + 0.5, floor));
        let base = chart.backend_coord(&(x + 0.5, 0.0));
        centred(&root, &format!("{floor:.0}"), (centre.0, centre.1 - 20), 16)?;
        centred(&root, &grouped(space.rows), (base.0, base.1 + 10), 15)?;
        centred(&root, space.subject, (base.0, base.1 + 30), 15)?;
    }
    for (place, (name, colour, _)) in parts.iter().enumerate() {
        let x = 110 + i32::try_from(place)? * 160;
        root.draw(&Rectangle::new([(x, 56), (x + 16, 72)], colour.filled()))?;
        root.draw(&Text::new(*name, (x + 24, 56), (FONT, 16)))?;
    }
    root.present()?;
    Ok(())
}

fn centred(area: &Area<'_>, text: &str, at: (i32, i32), size: i32) -> Result<(), Failure> {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    let style = (FONT, size)
        .into_text_style(area)
        .pos(Pos::new(HPos::Center, VPos::Top));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}
