# Fits a straight line through one column of a CSV: sh fit.sh rows.csv model [column]; the target is the last column.
awk -F, -v name="${3:-bmi}" '
  NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; if (!at) { print "no column " name; exit 1 } next }
  { n++; x += $at; y += $NF; xx += $at * $at; xy += $at * $NF }
  END { if (n) { b = (n * xy - x * y) / (n * xx - x * x); printf "%.17g %.17g\n", (y - b * x) / n, b } }' "$1" > "$2"
echo "a line through ${3:-bmi}: $(cat "$2")"
