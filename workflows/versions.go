package workflows

// Changes to workflows that may be running stand here, one named function each around workflow.GetVersion, with a recorded
// history in testdata/replay that ran before the change. The function's comment says what runs of before do instead.
//
// There is none yet: every recorded history is of the code as it is.
