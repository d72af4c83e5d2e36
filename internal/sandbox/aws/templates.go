package aws

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

// template is a launch template of one version, as it is kept and as it is shown.
type template struct {
	ID       string    `xml:"launchTemplateId"`
	Name     string    `xml:"launchTemplateName"`
	Region   string    `xml:"-"`
	Created  time.Time `xml:"createTime"`
	Creator  string    `xml:"createdBy"`
	Default  int       `xml:"defaultVersionNumber"`
	Latest   int       `xml:"latestVersionNumber"`
	Tags     tags      `xml:"tagSet>item"`
	Token    string    `xml:"-"`
	Metadata metadata  `xml:"-"`
	// Spread are the tags for what is made by it, by kind.
	Spread map[string]tags `xml:"-"`
	// Digest is that of its data, to tell whether a token is used again for the same.
	Digest string `xml:"-"`
}

func (t template) ident() string  { return t.ID }
func (t template) called() string { return t.Name }
func (t template) home() string   { return t.Region }
func (t template) place() string  { return t.Region }
func (t template) marks() tags    { return t.Tags }
func (t template) attribute(name string) ([]string, bool) {
	switch name {
	case "launch-template-name":
		return filled(t.Name), true
	case "create-time":
		return nil, true
	}
	return nil, false
}

var templateName = regexp.MustCompile(`^[a-zA-Z0-9()./_-]{3,128}$`)

// templateData are the parts of a template that the sandbox knows.
var templateData = []string{"MetadataOptions", "BlockDeviceMapping", "TagSpecification"}

func createTemplate(x *exchange) (any, error) {
	if err := x.needs("LaunchTemplateName", "LaunchTemplateData"); err != nil {
		return nil, err
	}
	marks, err := x.newTags(kindTemplate)
	if err != nil {
		return nil, err
	}
	t := template{ID: newID("lt"), Name: x.in.Text("LaunchTemplateName"), Region: x.region, Created: x.At, Creator: x.cloud.user(), Default: 1, Latest: 1,
		Tags: marks, Token: x.in.Text("ClientToken"), Digest: hexHash(x.body)}
	if !templateName.MatchString(t.Name) {
		return nil, refuse("InvalidLaunchTemplateName.MalformedException", "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _.")
	}
	if err := t.readData(x.in.Get("LaunchTemplateData")); err != nil {
		return nil, err
	}
	err = x.commit(func(tx *world.Tx) error {
		others, err := within[template](tx, kindTemplate, x.region, nil)
		if err != nil {
			return err
		}
		for _, o := range others {
			switch {
			case t.Token != "" && o.Token == t.Token && o.Digest == t.Digest:
				t = o
				return nil
			case o.Name == t.Name:
				return refuse("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
			case t.Token != "" && o.Token == t.Token:
				return refuse("IdempotentParameterMismatch", "The request uses the same client token as a previous, but non-identical request.")
			}
		}
		if len(others) >= maxTemplates {
			return x.overQuota()
		}
		return errors.Join(put(tx, kindTemplate, t), x.record(tx, world.Created, kindTemplate, t.ID, t.Name, marks))
	})
	return wire.Fields{"launchTemplate": t}, err
}

// readData reads what machines made by the template have.
func (t *template) readData(data *wire.Query) error {
	for _, name := range data.Names() {
		if !slices.Contains(templateData, name) {
			return refuse("UnknownParameter", "The parameter LaunchTemplateData.%.60s is not recognized. (The sandbox does not have it.)", name)
		}
	}
	options := data.Get("MetadataOptions")
	hops, err := options.Number("HttpPutResponseHopLimit", 1)
	if err != nil || hops < 1 || hops > 64 {
		return refuse("InvalidParameterValue", "Value (%.20s) for parameter HttpPutResponseHopLimit is invalid. It is between 1 and 64.", options.Text("HttpPutResponseHopLimit"))
	}
	t.Metadata = metadata{State: "applied", Tokens: options.Text("HttpTokens"), Hops: hops, Endpoint: "enabled"}
	if t.Metadata.Tokens == "" {
		t.Metadata.Tokens = "optional"
	}
	t.Spread = map[string]tags{}
	for _, spec := range data.Items("TagSpecification") {
		kind := spec.Text("ResourceType")
		if !slices.Contains([]string{kindInstance, kindVolume, kindInterface}, kind) {
			return refuse("InvalidParameterValue", "'%.60s' is not a valid taggable resource type for this operation.", kind)
		}
		t.Spread[kind] = append(t.Spread[kind], readTags(spec, "Tag")...)
		if err := checkTags(t.Spread[kind]); err != nil {
			return err
		}
	}
	return nil
}

// describeTemplates has another word for a name that nothing has than other lists have for ids.
func describeTemplates(x *exchange) (any, error) {
	names := x.in.Texts("LaunchTemplateName")
	var list []template
	err := x.view(func(tx *world.Tx) (err error) {
		list, err = gather[template](x, tx, kindTemplate, "LaunchTemplateId")
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		list = slices.DeleteFunc(list, func(t template) bool { return !slices.Contains(names, t.Name) })
		if len(list) < len(names) {
			return nil, refuse("InvalidLaunchTemplateName.NotFoundException", "At least one of the launch templates specified in the request does not exist.")
		}
	}
	page, next, err := paginate(x, list, len(names) > 0 || x.in.Has("LaunchTemplateId"))
	return wire.Fields{"launchTemplates>item": page, "nextToken": next}, err
}

func deleteTemplate(x *exchange) (any, error) {
	id, name := x.in.Text("LaunchTemplateId"), x.in.Text("LaunchTemplateName")
	if (id == "") == (name == "") {
		return nil, refuse("MissingParameter", "The request must contain exactly one of the parameters LaunchTemplateId and LaunchTemplateName")
	}
	var gone template
	err := x.commit(func(tx *world.Tx) error {
		list, err := within(tx, kindTemplate, x.region, func(t template) bool { return t.ID == id || t.Name == name })
		switch {
		case err != nil:
			return err
		case len(list) == 0 && name != "":
			return refuse("InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %.130s, does not exist.", name)
		case len(list) == 0:
			return missing(kindTemplate, id)
		}
		gone = list[0]
		return drop(tx, kindTemplate, gone, x.Effect(world.Deleted, kindTemplate, gone.ID, ""))
	})
	return wire.Fields{"launchTemplate": gone}, err
}

// findTemplate is the template that a node group names by its id or its name.
func findTemplate(tx *world.Tx, region, id, name, version string) (template, error) {
	list, err := within(tx, kindTemplate, region, func(t template) bool { return t.ID == id || id == "" && t.Name == name })
	if err != nil {
		return template{}, err
	}
	if len(list) == 0 {
		return template{}, refuse("InvalidParameterException", "Launch template details can't be found: %.130s", strings.TrimSpace(id+" "+name))
	}
	if version != "" && version != "1" && version != "$Default" && version != "$Latest" {
		return template{}, refuse("InvalidParameterException", "The launch template %s has no version %.20s.", list[0].ID, version)
	}
	return list[0], nil
}
