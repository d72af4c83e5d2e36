// Package oncall says who is on call when: schedules of layers with rotations in a time zone, overrides, and gaps ahead.
//
// It is pure: who has a contact is told to it, rows are internal/store's, paging is internal/alert's and the workflow's. It imports
// nothing of the project but fault.
//
// Words: a Layer's people take turns; a turn is so many hours, days or weeks. A Shift is what comes of layers and overrides: who is on
// call from when until when. A gap is a shift in which a page would reach nobody.
//
// All times of a schedule are read off the clock of its zone: turn n begins when that clock shows Start plus n turns, so a handover at
// 09:00 stays at 09:00 in summer and winter, and so does one of a rotation of 12 hours. A time that the clock skips stands for the moment
// of the change; one that it shows twice for the first of the two. So a turn or a window that lies within the skipped time does not take
// place, and one within the time that comes twice lasts through both.
package oncall
