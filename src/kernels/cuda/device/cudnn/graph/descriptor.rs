//! Descriptors of the graph API: opaque objects with typed attributes, read-only once they are
//! finalised.

use std::ffi::c_void;
use std::ptr;

use cudarc::cudnn::sys::{
    cudnnBackendAttributeName_t as Attribute, cudnnBackendAttributeType_t as AttributeType,
    cudnnBackendDescriptor_t, cudnnBackendDescriptorType_t as DescriptorType,
    cudnnBackendHeurMode_t, cudnnConvolutionMode_t, cudnnDataType_t, cudnnHandle_t,
    cudnnPointwiseMode_t,
};

use super::super::super::call::{CallFailure, call};

/// A value of an attribute.
///
/// # Safety
/// The library reads and writes values of the type `TYPE` with the layout of `Self`.
pub(super) unsafe trait AttributeValue: Copy {
    const TYPE: AttributeType;
}

macro_rules! attribute_values {
    ($($value:ty: $kind:ident,)*) => {
        // SAFETY: cudnn_graph.h declares the type of each.
        $(unsafe impl AttributeValue for $value {
            const TYPE: AttributeType = AttributeType::$kind;
        })*
    };
}
attribute_values! {
    i64: CUDNN_TYPE_INT64,
    f32: CUDNN_TYPE_FLOAT,
    bool: CUDNN_TYPE_BOOLEAN,
    cudnnDataType_t: CUDNN_TYPE_DATA_TYPE,
    cudnnConvolutionMode_t: CUDNN_TYPE_CONVOLUTION_MODE,
    cudnnPointwiseMode_t: CUDNN_TYPE_POINTWISE_MODE,
    cudnnBackendHeurMode_t: CUDNN_TYPE_HEUR_MODE,
    HandleValue: CUDNN_TYPE_HANDLE,
    PointerValue: CUDNN_TYPE_VOID_PTR,
    NumericalNote: CUDNN_TYPE_NUMERICAL_NOTE,
    BehaviorNote: CUDNN_TYPE_BEHAVIOR_NOTE,
}

/// A library handle as an attribute.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct HandleValue(pub(super) cudnnHandle_t);

/// A device address as an attribute.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct PointerValue(pub(super) *const c_void);

/// How an engine computes: a `cudnnBackendNumericalNote_t`, or a number of a later version, which
/// that enum cannot hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct NumericalNote(pub(super) u32);

/// What an engine requires: a `cudnnBackendBehaviorNote_t`, or a number of a later version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct BehaviorNote(pub(super) u32);

/// A descriptor, which is destroyed on drop.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Descriptor(cudnnBackendDescriptor_t);

impl Descriptor {
    /// Creates a descriptor without attributes.
    pub(super) fn new(kind: DescriptorType) -> Result<Self, CallFailure> {
        let mut descriptor = ptr::null_mut();
        // SAFETY: writes one descriptor.
        unsafe {
            call!(
                cudnn,
                cudnnBackendCreateDescriptor(kind, &raw mut descriptor)
            )
        }?;
        Ok(Self(descriptor))
    }

    /// Sets an attribute.
    pub(super) fn with<V: AttributeValue>(
        self,
        attribute: Attribute,
        values: &[V],
    ) -> Result<Self, CallFailure> {
        // SAFETY: the values have the declared type and the declared number.
        unsafe { self.set(attribute, V::TYPE, values.len(), values.as_ptr().cast()) }?;
        Ok(self)
    }

    /// Sets an attribute to finalised descriptors.
    pub(super) fn with_descriptors(
        self,
        attribute: Attribute,
        descriptors: &[&Self],
    ) -> Result<Self, CallFailure> {
        let kind = AttributeType::CUDNN_TYPE_BACKEND_DESCRIPTOR;
        let handles: Vec<_> = descriptors.iter().map(|descriptor| descriptor.0).collect();
        // SAFETY: all are alive.
        unsafe { self.set(attribute, kind, handles.len(), handles.as_ptr().cast()) }?;
        Ok(self)
    }

    /// # Safety
    /// `values` are `count` values of type `kind`.
    pub(super) unsafe fn set(
        &self,
        attribute: Attribute,
        kind: AttributeType,
        count: usize,
        values: *const c_void,
    ) -> Result<(), CallFailure> {
        let count = count as i64;
        // SAFETY: the descriptor is alive; the caller vouches for the values.
        unsafe {
            call!(
                cudnn,
                cudnnBackendSetAttribute(self.0, attribute, kind, count, values)
            )
        }
    }

    /// Has the library check the attributes. They cannot be set any more.
    pub(super) fn finalised(self) -> Result<Self, CallFailure> {
        // SAFETY: the descriptor is alive.
        unsafe { call!(cudnn, cudnnBackendFinalize(self.0)) }?;
        Ok(self)
    }

    /// Returns the first `limit` values of an attribute.
    pub(super) fn values<V: AttributeValue + Default>(
        &self,
        attribute: Attribute,
        limit: usize,
    ) -> Result<Vec<V>, CallFailure> {
        let mut values = vec![V::default(); limit];
        // SAFETY: there is room for that many values of the declared type.
        let count = unsafe { self.get(attribute, V::TYPE, limit, values.as_mut_ptr().cast()) }?;
        values.truncate(count);
        Ok(values)
    }

    /// Returns the descriptor of an attribute that has one.
    pub(super) fn descriptor(
        &self,
        attribute: Attribute,
        kind: DescriptorType,
    ) -> Result<Self, CallFailure> {
        // The library writes into an existing descriptor.
        let mut descriptor = Self::new(kind)?;
        let of_descriptors = AttributeType::CUDNN_TYPE_BACKEND_DESCRIPTOR;
        // SAFETY: `Self` has the layout of a descriptor.
        unsafe { self.get(attribute, of_descriptors, 1, (&raw mut descriptor).cast()) }?;
        Ok(descriptor)
    }

    /// Returns the first `limit` descriptors of an attribute.
    pub(super) fn descriptors(
        &self,
        attribute: Attribute,
        kind: DescriptorType,
        limit: usize,
    ) -> Result<Vec<Self>, CallFailure> {
        let of_descriptors = AttributeType::CUDNN_TYPE_BACKEND_DESCRIPTOR;
        // SAFETY: asks for the number only.
        let count = unsafe { self.get(attribute, of_descriptors, 0, ptr::null_mut()) }?;
        let created = (0..count.min(limit)).map(|_| Self::new(kind));
        let mut descriptors = created.collect::<Result<Vec<_>, _>>()?;
        if descriptors.is_empty() {
            return Ok(descriptors);
        }
        let room = descriptors.len();
        let values = descriptors.as_mut_ptr().cast();
        // SAFETY: `Self` has the layout of a descriptor, and that many exist.
        let count = unsafe { self.get(attribute, of_descriptors, room, values) }?;
        descriptors.truncate(count);
        Ok(descriptors)
    }

    /// Writes the first `limit` values of an attribute, and returns how many there are.
    ///
    /// # Safety
    /// `values` has room for `limit` values of type `kind`.
    unsafe fn get(
        &self,
        attribute: Attribute,
        kind: AttributeType,
        limit: usize,
        values: *mut c_void,
    ) -> Result<usize, CallFailure> {
        let mut count = 0;
        // SAFETY: the descriptor is alive; the caller vouches for the room.
        unsafe {
            call!(
                cudnn,
                cudnnBackendGetAttribute(
                    self.0,
                    attribute,
                    kind,
                    limit as i64,
                    &raw mut count,
                    values
                )
            )
        }?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Runs this execution plan with the addresses of `pack`.
    ///
    /// # Safety
    /// The handle is alive, and the addresses are those of the plan's tensors and workspace.
    pub(super) unsafe fn execute(
        &self,
        handle: cudnnHandle_t,
        pack: &Self,
    ) -> Result<(), CallFailure> {
        // SAFETY: both descriptors are alive; the caller vouches for the rest.
        unsafe { call!(cudnn, cudnnBackendExecute(handle, self.0, pack.0)) }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: this is the only owner, and the descriptor is not used again.
        let _ = unsafe { call!(cudnn, cudnnBackendDestroyDescriptor(self.0)) };
    }
}
