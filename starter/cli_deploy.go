package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// stageBuild is the stage that all regions share: the image is built.
const stageBuild = "build"

// deployStages are what a release goes through on its way into a region.
func deployStages(builds bool) []string {
	stages := []string{string(release.PlaceApply), string(release.PlaceInstances), string(release.PlaceGateway)}
	if builds {
		return append([]string{stageBuild}, stages...)
	}
	return stages
}

// deployRows are a release and its regions, with what the service's owner says of them.
func deployRows(r release.Release, p release.Progress, stages []string) []boardRow {
	var elsewhere int
	if p.Release != r.Number {
		elsewhere, p = p.Release, release.Progress{}
	}
	title := boardRow{name: fmt.Sprintf("release %d", r.Number), status: deployStatus(r, p, stages), title: true, done: r.Status.Ended(),
		quiet: r.Status.Ended()} // what is said last tells it
	if !r.Status.Ended() {
		title.seen = deployWaits(p)
	}
	if elsewhere != 0 && r.Status == release.Pending {
		title.detail = fmt.Sprintf("waits for its turn, after release %d", elsewhere)
	}
	rows := []boardRow{title}
	labels := labelsOf(r.Regions)
	for _, placed := range r.Regions {
		at := release.Placing{Region: placed.Region, Status: placed.Status, Message: placed.Message}
		if i := slices.IndexFunc(p.Regions, func(at release.Placing) bool { return at.Region == placed.Region }); i >= 0 && !r.Status.Ended() {
			at = p.Regions[i]
		}
		row := placingRow(at, p, stages)
		row.name = labels.label(placed.Region)
		row.detail = strings.TrimPrefix(row.detail, region.ShortName(placed.Region)+": ")
		rows = append(rows, row)
	}
	return rows
}

// deployStatus is where a release is, in a word.
func deployStatus(r release.Release, p release.Progress, stages []string) string {
	switch {
	case r.Status.Ended() || p.Stage == "":
		return string(r.Status)
	case p.Stage == release.StageImage && slices.Contains(stages, stageBuild):
		return stageBuild
	}
	return p.Stage
}

// deployWaits is what a deploy waits for, unless a region says so.
func deployWaits(p release.Progress) string {
	if slices.ContainsFunc(p.Regions, func(at release.Placing) bool { return at.Waiting != "" }) {
		return ""
	}
	return obstacle(p)
}

// placingRow is one region's row.
func placingRow(at release.Placing, p release.Progress, stages []string) boardRow {
	row := boardRow{status: string(at.Status), detail: at.Message, done: at.Status.Ended(), quiet: at.Status == release.Pending}
	switch {
	case at.Status == release.Ready:
		row.at = len(stages) + 1
	case at.Status == release.Pending && slices.Contains(stages, stageBuild):
		row.at = 1
	case at.Status == release.Deploying && p.Stage == release.StageRollback:
		row.status, row.seen = "going back", at.Waiting
	case at.Status == release.Deploying:
		row.at = max(slices.Index(stages, string(at.Stage)), slices.Index(stages, string(release.PlaceApply))) + 1
		row.status, row.seen = stages[row.at-1], at.Waiting
	}
	return row
}

// obstacle is what a service's work waits for, as far as it is more than work itself.
func obstacle(p release.Progress) string {
	if strings.HasPrefix(p.Waiting, region.WaitsFor) {
		return ""
	}
	return p.Waiting
}
