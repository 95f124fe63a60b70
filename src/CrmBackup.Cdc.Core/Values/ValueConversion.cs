using System.Globalization;

namespace CrmBackup.Cdc.Core;

/// <summary>The text of a value as one schema wrote it, as a later one writes it: DESIGN's rule 14. Labels are found by their OID, attributes
/// by their number, and a type that was changed without a rewrite by what both types make of the same bytes.</summary>
public sealed class ValueConversion
{
    readonly IReadOnlyList<ValueRule> _rules;
    readonly ValueRule? _target;
    readonly IReadOnlyList<Func<string, string>> _steps;

    ValueConversion(IReadOnlyList<ValueRule> rules, ValueRule? target, IReadOnlyList<Func<string, string>> steps) =>
        (_rules, _target, _steps) = (rules, target, steps);

    /// <param name="past">The column in the value's schema and in those before it, newest first: a transaction that was under way while a
    /// label was renamed still wrote the old one.</param>
    /// <param name="future">The column in the schemas after it, up to the target's.</param>
    /// <returns>Null when the text stays as it is.</returns>
    public static ValueConversion? Between(IReadOnlyList<ColumnShape> past, IReadOnlyList<ColumnShape> future)
    {
        var target = future.Count > 0 ? future[^1] : past[0];
        var steps = new List<Func<string, string>>();
        foreach (var (from, to) in past.Take(1).Concat(future).Zip(future))
            if (from.TypeOid != to.TypeOid && Step(from.TypeOid, to.TypeOid) is { } step)
                steps.Add(step);
        // A column that was of another type meanwhile was rewritten: no text of before is left to be converted.
        var rules = target.Rule is null ? [] : past.TakeWhile(column => column.TypeOid == target.TypeOid).Select(column => column.Rule).OfType<ValueRule>().Distinct().ToList();
        return steps.Count == 0 && rules.TrueForAll(rule => rule.Equals(target.Rule)) ? null : new ValueConversion(rules, target.Rule, steps);
    }

    /// <summary>Whether older values of a column can be told after its type changed without a rewrite.</summary>
    public static bool IsKnown(ColumnShape from, ColumnShape to) =>
        from.TypeOid == to.TypeOid || (IsTextual(from) && IsTextual(to)) || Step(from.TypeOid, to.TypeOid) is not null
        || (from.TypeOid, to.TypeOid) is (Bit, BitVarying) or (BitVarying, Bit);

    /// <summary>Old and new labels where the column itself is an enum and labels were renamed; null otherwise.</summary>
    public IReadOnlyDictionary<string, string>? RenamedLabels => _target is not EnumRule ? null
        : _rules.OfType<EnumRule>().SelectMany(rule => rule.Labels).Select(label => label.Label).Distinct()
            .Select(label => (Old: label, New: Convert(label))).Where(pair => pair.Old != pair.New).ToDictionary(pair => pair.Old, pair => pair.New);

    /// <summary>Labels or attributes stand inside the values, in arrays, ranges and composites.</summary>
    public bool IsNested => _target is not (null or EnumRule) && !_rules[0].Equals(_target);

    public string Convert(string text)
    {
        foreach (var step in _steps)
            text = step(text);
        return _target is null || _rules.Count == 0 ? text : Convert(text, _rules, _target);
    }

    static string Convert(string text, IReadOnlyList<ValueRule> rules, ValueRule target)
    {
        switch (target)
        {
            case EnumRule to:
                foreach (var label in rules.OfType<EnumRule>().SelectMany(rule => rule.Labels).Where(label => label.Label == text).Take(1))
                    return to.Labels.Where(known => known.Oid == label.Oid).Select(known => known.Label).FirstOrDefault(text);
                return text;
            case CompositeRule to:
                return Composite(text, rules, to);
            case ArrayRule to:
                var elements = rules.OfType<ArrayRule>().Select(rule => rule.Of).ToList();
                return NestedText.Array(text, to.Delimiter, element => Convert(element, elements, to.Of));
            case RangeRule to:
                var bounds = rules.OfType<RangeRule>().Select(rule => rule.Of).ToList();
                return NestedText.Range(text, bound => Convert(bound, bounds, to.Of));
            case MultirangeRule to:
                var ranges = rules.OfType<MultirangeRule>().Select(rule => rule.Of).ToList();
                return NestedText.Multirange(text, range => NestedText.Range(range, bound => Convert(bound, ranges, to.Of)));
            default:
                throw new InvalidOperationException($"unknown rule {target.GetType().Name}");
        }
    }

    static string Composite(string text, IReadOnlyList<ValueRule> rules, CompositeRule to)
    {
        var fields = NestedText.Fields(text);
        var composites = rules.OfType<CompositeRule>().ToList();
        // As the oldest transactions under way may still have written it.
        var from = composites.Find(rule => rule.Attributes.Count == fields.Count)
            ?? throw new FormatViolationException($"the value {text} has {fields.Count} attributes, which its type never had");
        return NestedText.Composite(to.Attributes.Select(attribute =>
        {
            var at = from.Attributes.ToList().FindIndex(one => one.AttNum == attribute.AttNum);
            if (at < 0 || fields[at] is not { } field)
                return null;
            var inner = composites.SelectMany(rule => rule.Attributes).Where(one => one.AttNum == attribute.AttNum).Select(one => one.Rule).OfType<ValueRule>().ToList();
            return attribute.Rule is null || inner.Count == 0 ? field : Convert(field, inner, attribute.Rule);
        }));
    }

    const uint Int4 = 23, Oid = 26, Timestamp = 1114, TimestampTz = 1184, Cidr = 650, Inet = 869, Bit = 1560, BitVarying = 1562;

    /// <summary>text, varchar, bpchar, xml, pg_node_tree, and citext wherever it lives: the same bytes, the same text.</summary>
    static bool IsTextual(ColumnShape column) => column.TypeOid is 25 or 1043 or 1042 or 142 or 194
        || column.TypeName == "citext" || column.TypeName.EndsWith(".citext", StringComparison.Ordinal);

    static Func<string, string>? Step(uint from, uint to) => (from, to) switch
    {
        (Timestamp, TimestampTz) => text => text.EndsWith("infinity", StringComparison.Ordinal) ? text
            : text.EndsWith(" BC", StringComparison.Ordinal) ? text[..^3] + "+00 BC" : text + "+00",
        (TimestampTz, Timestamp) => text => text.Replace("+00", "", StringComparison.Ordinal),
        (Int4, Oid) => text => unchecked((uint)int.Parse(text, CultureInfo.InvariantCulture)).ToString(CultureInfo.InvariantCulture),
        (Oid, Int4) => text => unchecked((int)uint.Parse(text, CultureInfo.InvariantCulture)).ToString(CultureInfo.InvariantCulture),
        // A network of one host is written without its length where it is an address.
        (Cidr, Inet) => text => text.EndsWith(text.Contains(':', StringComparison.Ordinal) ? "/128" : "/32", StringComparison.Ordinal)
            ? text[..text.IndexOf('/', StringComparison.Ordinal)] : text,
        _ => null,
    };
}
