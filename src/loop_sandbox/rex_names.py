"""REX11's names: namespaces, enums, and the elements of each operation in schema order."""

from __future__ import annotations

from pathlib import Path

TNS = "http://rex11.com/webmethods/"
TICKET = "http://rex11.com/swpublicapi/ReceivingTicket.xsd"
ITEMS = "http://rex11.com/swpublicapi/ReceivingTicketItems.xsd"
ADDRESS = "http://rex11.com/swpublicapi/CustomerOrder.xsd"
PRODUCT = "http://rex11.com/swpublicapi/StyleMasterProduct.xsd"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"

PARAMETERS: dict[str, tuple[str, ...]] = {
    "AuthenticationTokenGet": ("WebAddress", "UserName", "Password"),
    "StyleMasterProductAdd": ("AuthenticationString", "products"),
    "GetStyleMasterProductAddStatus": ("AuthenticationString", "UPC"),
    "ReceivingTicketAdd": ("AuthenticationString", "receivingTicket"),
    "GetReceivingTicketAddStatus": ("authenticationString", "receivingTicketId"),
    "GetReceivingTicketsByPO": ("AuthenticationString", "customerPO"),
    "GetReceivingStatusesByDate": ("AuthenticationString", "StartDate", "EndDate"),
    "GetReceivingStatusesByDateConfigurable": (
        "AuthenticationString",
        "StartDate",
        "EndDate",
        "dateType",
    ),
    "GetReceivingTicketsByStatusAndCreateDate": (
        "AuthenticationString",
        "receivingTicketStatus",
        "startDate",
        "endDate",
    ),
    "GetReceivingTicketObjectByTicketNo": ("AuthenticationString", "AsnTicketNumber"),
    "GetInventoryByUPCs": ("AuthenticationString", "UPCs"),
}

TICKET_ELEMENTS = (
    "ReceivingStatus",
    "ReceivingStatusCode",
    "CreatedDate",
    "Shipmentitemslist",
    "ShipmentTypelist",
    "Warehouse",
    "Memo",
    "AuthorizedNumber",
    "CustomerPO",
    "LicensePlate",
    "DriverName",
    "TrackingNumbers",
    "ExpectedDate",
    "SupplierDetails",
    "Carrier",
    "IMPORTSTATUSTEXT",
    "AddedToInventoryDate",
    "ArrivedDate",
)
REPEATED = ("Shipmentitemslist", "ShipmentTypelist", "TrackingNumbers")
ITEM_ELEMENTS = (
    "Sku",
    "Style",
    "Color",
    "UPC",
    "Size",
    "ExpectedQuantity",
    "ActualQuantity",
    "DamagedQuantity",
    "UnitCost",
    "ProductDescription",
    "ProductMSRP",
    "Comments",
    "ShipmentType",
    "ReturnReasonCode",
)
QUANTITIES = ("ExpectedQuantity", "ActualQuantity", "DamagedQuantity")
SUPPLIER_ELEMENTS = (
    "CompanyName",
    "Address1",
    "Address2",
    "City",
    "State",
    "Zip",
    "Country",
    "Non_US_Region",
    "Phone",
    "Fax",
    "Email",
)
PRODUCT_ELEMENTS = (
    "Sku",
    "Style",
    "Description",
    "Color",
    "Size",
    "UPC",
    "Price",
    "CountryOfOrigin",
    "CustomsDescription",
    "HarmonizedCode",
)
SCHEMA = Path(__file__).parent / "schema" / "service.xsd"
"""The part of the service's schema that its operations here need, requests and answers."""

COUNTRIES = {
    "usa": "United States",
    "us": "United States",
    "united states": "United States",
    "canada": "Canada",
    "united kingdom": "United Kingdom",
    "australia": "Australia",
    "germany": "Germany",
    "france": "France",
    "hong kong": "Hong Kong",
}
"""What Country may be, and how it comes back."""
