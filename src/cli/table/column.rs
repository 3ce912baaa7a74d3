//! The columns of a table, and which of them fit a terminal.

/// The number of blanks between two columns.
pub(super) const GAP: usize = 2;
/// The least width of a column that may be cut, unless it says otherwise.
const LEAST: usize = 8;

/// The way in which a cell that is too long fits its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Cut,
    CutMiddle,
    /// The cell continues on the next line.
    Wrap,
}

/// A column: its title, its width, and its right to a place on a narrow terminal.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(super) title: &'static str,
    /// A cell may be cut to this width, before another column gives way.
    least: usize,
    /// Longer cells are cut on a terminal, however wide it is.
    most: usize,
    /// The column is at least this wide, also if its cells are not.
    reserved: usize,
    /// The column with the highest number is left out first; 0 never is.
    gives_way: u8,
    pub(super) is_right: bool,
    pub(super) fit: Fit,
    is_optional: bool,
}

impl Column {
    pub(crate) const fn new(title: &'static str) -> Self {
        Self {
            title,
            least: LEAST,
            most: usize::MAX,
            reserved: 0,
            gives_way: 0,
            is_right: false,
            fit: Fit::Cut,
            is_optional: false,
        }
    }

    /// Sets the width to which a cell may be cut before a column gives way.
    #[must_use]
    pub(crate) const fn at_least(mut self, columns: usize) -> Self {
        self.least = columns;
        self
    }

    #[must_use]
    pub(crate) const fn at_most(mut self, columns: usize) -> Self {
        self.most = columns;
        self
    }

    /// Never cuts a cell: the column gives way, or all of it is there.
    #[must_use]
    pub(crate) const fn whole(self) -> Self {
        self.at_least(usize::MAX)
    }

    /// Gives the column one width for ever: in a live table, one that grows makes it jump.
    #[must_use]
    pub(crate) const fn fixed(mut self, columns: usize) -> Self {
        self.reserved = columns;
        self.at_least(columns).at_most(columns)
    }

    /// Keeps this many columns free, also while no cell needs them.
    #[must_use]
    pub(crate) const fn reserving(mut self, columns: usize) -> Self {
        self.reserved = columns;
        self.at_least(columns)
    }

    /// Lets the column be left out: the one with the highest number goes first.
    #[must_use]
    pub(crate) const fn gives_way(mut self, rank: u8) -> Self {
        self.gives_way = rank;
        self
    }

    /// Aligns its cells at the right, as numbers are.
    #[must_use]
    pub(crate) const fn right(mut self) -> Self {
        self.is_right = true;
        self
    }

    /// Cuts its cells in their middle.
    #[must_use]
    pub(crate) const fn keeping_ends(mut self) -> Self {
        self.fit = Fit::CutMiddle;
        self
    }

    /// Continues a long cell on the next line instead of cutting it.
    #[must_use]
    pub(crate) const fn wrapping(mut self) -> Self {
        self.fit = Fit::Wrap;
        self
    }

    /// Leaves the column out on a terminal if all of its cells are empty or a dash.
    #[must_use]
    pub(crate) const fn if_used(mut self) -> Self {
        self.is_optional = true;
        self
    }
}

/// A column that is shown, and its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the column in the table.
    pub(super) index: usize,
    pub(super) width: usize,
}

/// The widths that the cells of a column ask for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Need {
    /// The width of the widest cell, or of the title.
    pub(super) width: usize,
    /// True if some cell has more than a dash.
    pub(super) is_used: bool,
}

/// Chooses the columns for a terminal, and their widths. On a file or pipe (`room` is `None`)
/// every column is there and none is cut, so that a script finds the same ones each time.
pub(super) fn places(columns: &[Column], needs: &[Need], room: Option<usize>) -> Vec<Place> {
    let wanted = |index: usize| needs[index].width.max(columns[index].reserved);
    let place = |index: usize, width: usize| Place { index, width };
    let Some(room) = room else {
        return (0..columns.len())
            .map(|index| place(index, wanted(index)))
            .collect();
    };
    let mut shown: Vec<usize> = (0..columns.len())
        .filter(|&index| !columns[index].is_optional || needs[index].is_used)
        .collect();
    loop {
        let mut fit: Vec<Place> = shown
            .iter()
            .map(|&index| place(index, wanted(index).min(columns[index].most)))
            .collect();
        let is_enough = shrink(&mut fit, room, |place| columns[place.index].least);
        let first = shown.iter().map(|&index| columns[index].gives_way).max();
        match first {
            Some(first) if !is_enough && first > 0 => {
                shown.retain(|&index| columns[index].gives_way != first);
            }
            _ if is_enough => return fit,
            // A terminal this narrow gets a little of each column.
            _ => {
                shrink(&mut fit, room, |_| 1);
                return fit;
            }
        }
    }
}

/// Takes from the widest columns until the line fits; true if it does.
fn shrink(places: &mut [Place], room: usize, least: impl Fn(&Place) -> usize) -> bool {
    let gaps = GAP * places.len().saturating_sub(1);
    let mut surplus =
        (places.iter().map(|place| place.width).sum::<usize>() + gaps).saturating_sub(room);
    while surplus > 0 {
        let widest = places
            .iter_mut()
            .filter(|place| place.width > least(place))
            .max_by_key(|place| place.width);
        let Some(widest) = widest else {
            return false;
        };
        widest.width -= 1;
        surplus -= 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widths(columns: &[Column], needs: &[usize], room: Option<usize>) -> Vec<(usize, usize)> {
        let needs: Vec<Need> = needs
            .iter()
            .map(|&width| Need {
                width,
                is_used: width > 1,
            })
            .collect();
        places(columns, &needs, room)
            .iter()
            .map(|place| (place.index, place.width))
            .collect()
    }

    #[test]
    fn the_widest_column_is_cut_before_one_gives_way() {
        let columns = [
            Column::new("A").whole(),
            Column::new("B").gives_way(1),
            Column::new("C").gives_way(2),
        ];
        let of = |room| widths(&columns, &[10, 10, 40], Some(room));
        assert_eq!(of(100), [(0, 10), (1, 10), (2, 40)]);
        assert_eq!(of(44), [(0, 10), (1, 10), (2, 20)]);
        assert_eq!(of(30), [(0, 10), (1, 8), (2, 8)]);
        assert_eq!(of(29), [(0, 10), (1, 10)]);
        assert_eq!(of(19), [(0, 10)]);
        assert_eq!(of(4), [(0, 4)]);
    }

    #[test]
    fn a_pipe_gets_every_column_whole() {
        let columns = [
            Column::new("A").at_most(5).gives_way(1),
            Column::new("B").if_used(),
        ];
        assert_eq!(widths(&columns, &[10, 1], None), [(0, 10), (1, 1)]);
        assert_eq!(widths(&columns, &[10, 1], Some(80)), [(0, 5)]);
    }

    #[test]
    fn a_reserved_width_stays_free() {
        let columns = [Column::new("A").fixed(9), Column::new("B").reserving(20)];
        assert_eq!(widths(&columns, &[3, 3], Some(80)), [(0, 9), (1, 20)]);
    }
}
