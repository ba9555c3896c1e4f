"""DICOM series and segmentations, made by pydicom and highdicom."""

from __future__ import annotations

import numpy as np
import pydicom
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from tests.contracts.samples import AFFINE

LPS = np.diag([-1.0, -1, 1, 1])
SHAPE = (5, 12, 10)
SECRET = "Doe^Jane"


def series(folder, pixels, affine=AFFINE, *, study="1.2.3", positions=None, **changes):
    """A CT series, its files named so that their order by name is not that in space."""
    folder.mkdir(parents=True, exist_ok=True)
    lps = LPS @ affine
    sides = np.linalg.norm(lps[:3, :3], axis=0)
    uid, frame = generate_uid(), generate_uid()
    for z in range(len(pixels)):
        made = pydicom.Dataset()
        made.file_meta = pydicom.dataset.FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = CTImageStorage
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = study, uid, frame
        made.PatientName, made.PatientID = SECRET, "number-4711-of-the-ward"
        made.PatientBirthDate, made.PatientSex = "19700101", "F"
        made.Modality, made.StudyID, made.SeriesNumber, made.InstanceNumber = "CT", "9", 1, z + 1
        made.StudyDate = made.StudyTime = made.AccessionNumber = made.ReferringPhysicianName = ""
        made.PositionReferenceIndicator = made.Manufacturer = ""
        made.Rows, made.Columns = pixels.shape[1:]
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated = made.BitsStored = 16
        made.HighBit, made.PixelRepresentation = 15, 1
        made.RescaleSlope, made.RescaleIntercept = 1, -1024
        made.PixelSpacing = [sides[1], sides[2]]
        made.SliceThickness = sides[0]
        place = z if positions is None else positions[z]
        made.ImagePositionPatient = [round(float(side), 6) for side in lps[:3, 3] + place * lps[:3, 0]]
        made.ImageOrientationPatient = [*(lps[:3, 2] / sides[2]), *(lps[:3, 1] / sides[1])]
        made.PixelData = (pixels[z] + 1024).astype("<i2").tobytes()
        for name, value in changes.items():
            setattr(made, name, value)
        made.save_as(folder / f"{(z * 7) % 11:02d}.dcm", enforce_file_format=True)
    return folder


def segmentation(path, folder, label, omit=True, kind="BINARY"):
    """A segmentation of two segments on a series."""
    images = sorted((pydicom.dcmread(file) for file in folder.iterdir()), key=lambda image: image.InstanceNumber)
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Heart,
            algorithm_type="MANUAL",
        )
        for number, name in ((1, "atrium"), (2, "scar"))
    ]
    made = Segmentation(
        source_images=images,
        pixel_array=label,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=omit,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)
    return path
