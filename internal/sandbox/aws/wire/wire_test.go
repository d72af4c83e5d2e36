package wire_test

import (
	"encoding/xml"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
)

func parse(t *testing.T, body string) *wire.Query {
	t.Helper()
	q, err := wire.ParseQuery(body)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestListsAreReadInBothForms(t *testing.T) {
	for _, body := range []string{
		"SubnetId.2=b&SubnetId.1=a&SubnetId.10=c",
		"SubnetId.member.2=b&SubnetId.member.1=a&SubnetId.member.10=c",
	} {
		if got := parse(t, body).Texts("SubnetId"); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("%s is read as %v", body, got)
		}
	}
}

func TestNestedParameters(t *testing.T) {
	q := parse(t, "TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=a%26b")
	specs := q.Items("TagSpecification")
	if len(specs) != 1 || specs[0].Text("ResourceType") != "vpc" {
		t.Fatalf("got %v", specs)
	}
	if tags := specs[0].Items("Tag"); len(tags) != 1 || tags[0].Text("Key") != "Name" || tags[0].Text("Value") != "a&b" {
		t.Errorf("got %v", tags)
	}
}

func TestANumberThatIsNoneIsNamed(t *testing.T) {
	if _, err := parse(t, "MaxResults=many").Number("MaxResults", 0); err == nil {
		t.Error("it is taken")
	}
	if _, err := parse(t, "DryRun=perhaps").Flag("DryRun", false); err == nil {
		t.Error("it is taken")
	}
}

type inner struct {
	Key   string `xml:"key"`
	Value string `xml:"value!"`
}

type outer struct {
	inner
	ID     string    `xml:"vpcId"`
	Secret string    `xml:"-"`
	Other  string    // has no tag
	Tags   []inner   `xml:"tagSet>item"`
	Made   time.Time `xml:"createTime"`
	Main   bool      `xml:"main"`
	None   *inner    `xml:"none"`
}

func TestXML(t *testing.T) {
	got, err := wire.Fields{"vpcSet>item": []outer{{ID: "a<b", Secret: "s", Other: "o", Tags: []inner{{"k", ""}},
		Made: time.Unix(0, 0)}}, "empty>item": []string{}, "none>item": []string(nil), "count": 3}.Elements()
	want := `<count>3</count><empty></empty><vpcSet><item><value></value><vpcId>a&lt;b</vpcId><tagSet><item><key>k</key><value></value></item></tagSet>` +
		`<createTime>1970-01-01T00:00:00.000Z</createTime><main>false</main></item></vpcSet>`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	if _, err := (wire.Fields{"list>item": "text"}).Elements(); err == nil {
		t.Error("a text is taken for a list")
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("Action=CreateVpc&TagSpecification.1.Tag.1.Key=a")
	f.Add("a.b.c.d.e.f.g.h.i.j.k.l.m.n=1&a.-1=2&a.99999999999999999999=3&.=4")
	f.Fuzz(func(t *testing.T, body string) {
		q, err := wire.ParseQuery(body)
		if err != nil {
			return
		}
		for _, name := range q.Names() {
			_ = q.Texts(name)
			_, _ = q.Number(name, 0)
		}
		if form, err := url.ParseQuery(body); err == nil && len(q.Names()) > len(form) {
			t.Error("there are more parameters than there were keys")
		}
	})
}

func FuzzXML(f *testing.F) {
	f.Add("a", "<&>\x00")
	f.Fuzz(func(t *testing.T, id, value string) {
		out, err := wire.Fields{"set>item": []outer{{ID: id, Tags: []inner{{id, value}}}}}.Elements()
		if err != nil {
			t.Fatal(err)
		}
		var any struct {
			Inner string `xml:",innerxml"`
		}
		if err := xml.Unmarshal(append(append([]byte("<r>"), out...), "</r>"...), &any); err != nil {
			t.Errorf("%q is no document: %v", out, err)
		}
	})
}
