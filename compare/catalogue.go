package compare

// fixes say what a project can do about a cause.
var fixes = map[string]string{
	"missing-from-sdist":   "build the wheel from the sdist (`python -m build` does), or add the files to it",
	"extra-from-checkout":  "build the wheel from the sdist (`python -m build` does)",
	"line-endings":         "build on one system, or keep line ends by .gitattributes",
	"generator-version":    "pin the build backend in build-system.requires",
	"metadata-writer":      "pin the build backend in build-system.requires",
	"metadata-version":     "pin the build backend in build-system.requires",
	"metadata-requires":    "pin the build backend in build-system.requires",
	"metadata-description": "keep README and what generates it in the sdist",
	"license-files":        "name license files in pyproject.toml, and keep them in the sdist",
	"scm-version":          "build the wheel from the sdist, which holds the version",
	"hash-seed":            "sort what comes out of sets, or set PYTHONHASHSEED=0 in the release job",
	"record-order":         "use a backend that sorts RECORD",
	"build-path":           "write no absolute paths into what is shipped",
	"pyc":                  "ship no byte code",
	"exec-bit":             "keep modes the same in the sdist",
	"file-mtime":           "set SOURCE_DATE_EPOCH in the release job",
	"directory-entries":    "use a backend that writes no directory entries, or only needed ones",
	"zip-writer":           "use a backend that writes plain zip archives",
	"deflate-encoder":      "none: the contents are equal; name the system the wheel was built on",
	"python-tag":           "set the tag in the project's configuration, not on the command line",
}

// Fix says what a project can do about a cause; "" when there is nothing to say.
func Fix(cause string) string { return fixes[cause] }
