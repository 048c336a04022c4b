"""What a stage may ask for, one Protocol a capability. Stages see these only; adapters implement them.

Not here: vendors, formats of any one vendor, or fakes (those lie under tests/).
"""
