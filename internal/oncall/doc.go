// Package oncall says who is on call when: schedules of layers with rotations in a time zone, overrides, and gaps ahead.
//
// It is pure: who has a contact is told to it, rows are internal/store's, paging is internal/alert's and the workflow's. It imports
// nothing of the project but fault.
package oncall
