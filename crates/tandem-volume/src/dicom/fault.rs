//! What keeps the slices of a series from being one grid.

/// Why the slices of a series make no grid with even spacing and right angles. File names are those of the slices.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesFault {
    /// A gap is a multiple of the distance between the other slices.
    #[error(
        "{missing} slice(s) are missing: {before} and {after} lie {gap_mm:.3} mm apart, but slices of this series lie \
         {spacing_mm:.3} mm apart; export the whole series again"
    )]
    MissingSlices {
        /// How many slices are missing in all gaps.
        missing: usize,
        /// The first gap in mm.
        gap_mm: f64,
        /// The usual distance in mm.
        spacing_mm: f64,
        /// The file before the first gap.
        before: String,
        /// The file after the first gap.
        after: String,
    },
    /// The distances between neighbouring slices differ.
    #[error(
        "the slices are unevenly spaced: {smallest_mm:.3} to {largest_mm:.3} mm apart, the farthest {before} and \
         {after}; resample the series to an even spacing first"
    )]
    UnevenSpacing {
        /// The smallest distance in mm.
        smallest_mm: f64,
        /// The largest distance in mm.
        largest_mm: f64,
        /// The file before the largest distance.
        before: String,
        /// The file after the largest distance.
        after: String,
    },
    /// The slices are not stacked along their normal.
    #[error(
        "the gantry was tilted: the slices are stacked at {degrees:.2} degrees from their normal; correct the tilt \
         (dcm2niix does) and read the result"
    )]
    GantryTilt {
        /// The angle between the slices' normal and the way they are stacked.
        degrees: f64,
    },
    /// A slice lies beside the line of the others.
    #[error(
        "{file} lies {shift_mm:.3} mm beside the line through the other slices; the series holds slices of several \
         scans, so export each into a folder of its own"
    )]
    Sideways {
        /// The slice.
        file: String,
        /// Its distance from the line in mm.
        shift_mm: f64,
    },
    /// A slice with a Series Instance UID of its own belongs to the series by all else.
    #[error(
        "{file} is the only slice of the series {uid:?}, but fits into {series:?} by its grid and place, so its \
         SeriesInstanceUID (0020,000E) is probably damaged; correct it, or move the file to a folder of its own"
    )]
    StraySlice {
        /// The slice.
        file: String,
        /// Its Series Instance UID.
        uid: String,
        /// That of the series.
        series: String,
    },
    /// Two slices lie in one place.
    #[error(
        "{first} and {second} lie at the same position ({position_mm:.3} mm along the slice normal); the series holds \
         a slice twice or several volumes, so keep the files of one in a folder of its own"
    )]
    DuplicatePosition {
        /// The position along the normal in mm.
        position_mm: f64,
        /// One of the files.
        first: String,
        /// The other one.
        second: String,
    },
    /// Slices differ in what all slices of one grid share.
    #[error(
        "{first} and {second} differ in {attribute} ({first_value} and {second_value}); the series holds several \
         volumes, so keep the files of one in a folder of its own"
    )]
    Differing {
        /// The attribute's name and tag.
        attribute: &'static str,
        /// One of the files.
        first: String,
        /// Its value.
        first_value: String,
        /// The other file.
        second: String,
        /// Its value.
        second_value: String,
    },
}
