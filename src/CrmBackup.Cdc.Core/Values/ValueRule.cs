using System.Text.Json.Serialization;

namespace CrmBackup.Cdc.Core;

/// <summary>What the text of a type's values is made of, where DDL can change that text and leave the rows alone: an enum's labels, a
/// composite's attributes, and what is built of such. Types whose text nothing can change have no rule.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "is")]
[JsonDerivedType(typeof(EnumRule), "enum")]
[JsonDerivedType(typeof(CompositeRule), "composite")]
[JsonDerivedType(typeof(ArrayRule), "array")]
[JsonDerivedType(typeof(RangeRule), "range")]
[JsonDerivedType(typeof(MultirangeRule), "multirange")]
public abstract record ValueRule
{
    /// <summary>Whether a text says by itself what it means, whichever of the two has written it. Not where a label came to mean another one,
    /// or where an attribute was dropped and another one added.</summary>
    public static bool TellApart(ValueRule? left, ValueRule? right) => (left, right) switch
    {
        (null, null) => true,
        (EnumRule one, EnumRule other) => !one.Labels.Any(label => other.Labels.Any(same => same.Label == label.Label && same.Oid != label.Oid)),
        (CompositeRule one, CompositeRule other) =>
            (one.Attributes.Count != other.Attributes.Count || one.Attributes.Select(attribute => attribute.AttNum).SequenceEqual(other.Attributes.Select(attribute => attribute.AttNum)))
            && one.Attributes.Join(other.Attributes, attribute => attribute.AttNum, attribute => attribute.AttNum, (mine, theirs) => TellApart(mine.Rule, theirs.Rule)).All(apart => apart),
        (ArrayRule one, ArrayRule other) => one.Delimiter == other.Delimiter && TellApart(one.Of, other.Of),
        (RangeRule one, RangeRule other) => TellApart(one.Of, other.Of),
        (MultirangeRule one, MultirangeRule other) => TellApart(one.Of, other.Of),
        _ => false,
    };
}

/// <param name="Labels">In their order. The OID stays when a label is renamed.</param>
public sealed record EnumRule(IReadOnlyList<EnumLabel> Labels) : ValueRule
{
    public bool Equals(EnumRule? other) => other is not null && Labels.SequenceEqual(other.Labels);

    public override int GetHashCode() => Labels.Count;
}

public readonly record struct EnumLabel(uint Oid, string Label);

/// <param name="Attributes">Live ones in the order of the text.</param>
public sealed record CompositeRule(IReadOnlyList<AttributeRule> Attributes) : ValueRule
{
    public bool Equals(CompositeRule? other) => other is not null && Attributes.SequenceEqual(other.Attributes);

    public override int GetHashCode() => Attributes.Count;
}

public sealed record AttributeRule(short AttNum, ValueRule? Rule = null);

public sealed record ArrayRule(ValueRule Of, char Delimiter = ',') : ValueRule;

public sealed record RangeRule(ValueRule Of) : ValueRule;

/// <param name="Of">The rule of its ranges' bounds.</param>
public sealed record MultirangeRule(ValueRule Of) : ValueRule;
