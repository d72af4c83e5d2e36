package workflows

// Changes to workflows that may be running stand here, one named function each around workflow.GetVersion, with a recorded
// history in testdata/replay that ran before the change. There are none yet: these are the first.
