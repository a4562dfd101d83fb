package superoffice

import (
	"errors"
	"strings"
	"testing"
)

func TestAQueryIsRebuiltFromItsOneSelect(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"": "", "$select=": "", "$select=Name,%20department,category/id": "$select=Name,department,category%2Fid,IsOk,Status,ErrorCode",
		"%24SELECT=isok,STATUS,ErrorCode": "$select=isok,STATUS,ErrorCode", "$select=IsOk": "$select=IsOk,Status,ErrorCode",
	} {
		s, err := ParseQuery(raw)
		if got := s.Revealing().Query(); err != nil || got != want || s.Revealing().Hides() {
			t.Errorf("%s: %s %v", raw, got, err)
		}
	}
	for raw, want := range map[string]error{
		"x=1": ErrQuery, "$select=a;b": ErrQuery, "$select=%zz": ErrQuery, "&": ErrQuery, "$select=a&x": ErrQuery, "access_token=x": ErrQuery, "$select%zz=a": ErrQuery, "$\u017felect=a": ErrQuery,
		"$select=a&$select=b": errSelectTwice, "$select=a&%24SELECT=b": errSelectTwice,
		"$select[]=a": errSelectArray, "$select[0]=a&$select[1]=b": errSelectArray, "x=1&$select%5B%5D=a": errSelectArray,
		"$select=a%26b=c": errSelectNames, "$select=a%0d%0ab": errSelectNames, "$select=a:b": errSelectNames, "$select=a-b": errSelectNames, "$select=a@b": errSelectNames, "$select=a%5Bb": errSelectNames, "$select=\u212a": errSelectNames,
		"$select=" + strings.Repeat("a", 2049): errSelectLength, "$select=" + strings.Repeat("%61", 3000): errSelectLength, strings.Repeat("&", 7000): errSelectLength,
	} {
		if _, err := ParseQuery(raw); !errors.Is(err, want) {
			t.Errorf("%.60s: %v, want %v", raw, err, want)
		}
	}
}
